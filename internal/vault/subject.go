package vault

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Subject is a person as the log knows them.
type Subject struct {
	ID   gdpr.SubjectID
	Keys gdpr.Keys
}

// subjectRow is a row of the table subjects.
type subjectRow struct {
	id             gdpr.SubjectID
	lookup         LookupHash
	keyID          gdpr.KeyID
	wrapped        int
	keys, identity []byte
}

// Identities are read only where they are needed.
const (
	subjectColumns    = `SELECT id, lookup, key_id, wrapped, keys, identity FROM subjects WHERE `
	subjectKeyColumns = `SELECT id, lookup, key_id, wrapped, keys FROM subjects WHERE `
)

// locatedRow is a row of the table subjects and the point at which it was there. The point comes with the row: only one statement sees both in the same
// state of the database.
type locatedRow struct {
	subjectRow
	at point
}

const locatedColumns = `SELECT id, lookup, key_id, wrapped, keys, changes, mark FROM subjects CROSS JOIN change_counter WHERE `

func scanLocated(rows *sql.Rows, r *locatedRow) error {
	return rows.Scan(fixed(r.id[:]), fixed(r.lookup[:]), fixed(r.keyID[:]), &r.wrapped, &r.keys, &r.at.number, fixed(r.at.mark[:]))
}

func scanSubject(rows *sql.Rows, r *subjectRow) error {
	return rows.Scan(fixed(r.id[:]), fixed(r.lookup[:]), fixed(r.keyID[:]), &r.wrapped, &r.keys, &r.identity)
}

func scanSubjectKeys(rows *sql.Rows, r *subjectRow) error {
	return rows.Scan(fixed(r.id[:]), fixed(r.lookup[:]), fixed(r.keyID[:]), &r.wrapped, &r.keys)
}

// Find returns the subject of a person, and false if there is none.
func (v *Vault) Find(ctx context.Context, id Identity) (Subject, bool, error) {
	if err := id.check(); err != nil {
		return Subject{}, false, nil // nobody like that is ever created
	}
	h := newHasher(&v.secrets.lookup).identity(id)
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	rows, err := collect(ctx, v.db.read, scanSubjectKeys, v.db.query(subjectKeyColumns+"lookup = ?"), h[:])
	if err != nil {
		return Subject{}, false, v.failed("look up a subject", err)
	}
	if len(rows) == 0 {
		return Subject{}, false, nil
	}
	ws := v.keys.wrappers()
	s, err := rows[0].subject(ctx, ws)
	if err != nil {
		return Subject{}, false, v.failed("look up a subject", err)
	}
	return s, true, nil
}

// Identify leads pseudonyms back to people. Those that are unknown or destroyed are absent.
func (v *Vault) Identify(ctx context.Context, ids []gdpr.SubjectID) (map[gdpr.SubjectID]Identity, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	people := make(map[gdpr.SubjectID]Identity, len(ids))
	ws := v.keys.wrappers()
	query := v.db.query(subjectColumns + v.db.in("id"))
	for some := range slices.Chunk(ids, subjectsPerTransaction) {
		set := make([][]byte, len(some))
		for i := range some {
			set[i] = some[i][:]
		}
		rows, err := collect(ctx, v.db.read, scanSubject, query, v.db.set(set))
		if err != nil {
			return nil, v.failed("identify subjects", err)
		}
		for i := range rows {
			who, err := rows[i].who(ctx, ws)
			if err != nil {
				return nil, v.failed("identify subjects", err)
			}
			people[rows[i].id] = who
		}
	}
	return people, nil
}

// Existing returns those of some pseudonyms that still belong to somebody.
func (v *Vault) Existing(ctx context.Context, ids []gdpr.SubjectID) (map[gdpr.SubjectID]bool, error) {
	return thoseIn(ctx, v, `SELECT id FROM subjects WHERE `, "id", ids)
}

// wrap encrypts keys and identity for this row.
func (r *subjectRow) wrap(w *wrapper, keys *gdpr.Keys, identity []byte) {
	place := r.place()
	plain := keyBytes(keys)
	defer clear(plain[:])
	defer clear(identity)
	r.wrapped = w.generation
	r.keys = w.wrap(purposeSubjectKeys, place[:], plain[:])
	r.identity = w.wrap(purposeIdentity, place[:], identity)
}

// subject decrypts the row's keys. With an error it returns an empty Subject.
func (r *subjectRow) subject(ctx context.Context, ws *wrappers) (Subject, error) {
	w, err := ws.of(ctx, r.wrapped)
	if err != nil {
		return Subject{}, err
	}
	place := r.place()
	plain, err := w.unwrap(purposeSubjectKeys, place[:], r.keys)
	if err != nil {
		return Subject{}, fmt.Errorf("subject %s: %w", r.id, err)
	}
	keys, err := keysOf(r.keyID, plain)
	if err != nil {
		return Subject{}, fmt.Errorf("subject %s: %w", r.id, err)
	}
	return Subject{ID: r.id, Keys: keys}, nil
}

// who decrypts the row's identity.
func (r *subjectRow) who(ctx context.Context, ws *wrappers) (Identity, error) {
	w, err := ws.of(ctx, r.wrapped)
	if err != nil {
		return Identity{}, err
	}
	place := r.place()
	plain, err := w.unwrap(purposeIdentity, place[:], r.identity)
	if err != nil {
		return Identity{}, fmt.Errorf("subject %s: %w", r.id, err)
	}
	defer clear(plain)
	return decodeIdentity(plain)
}

// place binds the wrapped values to all that names the row, so that neither values nor names can be moved to another row.
func (r *subjectRow) place() (place [64]byte) {
	copy(place[:16], r.id[:])
	copy(place[16:32], r.keyID[:])
	copy(place[32:], r.lookup[:])
	return place
}
