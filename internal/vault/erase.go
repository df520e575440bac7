package vault

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Erasure is what it takes to erase a person.
type Erasure struct {
	Request     [16]byte // whose outcome it is
	Subject     gdpr.SubjectID
	Suppression Suppression
	At          time.Time
	// Weighed are the holds that were active when the caller looked, and forbid nothing: those of people who stand in an event together with the subject forbid
	// it too, and only the caller can tell. A hold that was ordered since makes it ErrOutdated.
	Weighed [][16]byte
	// Before: later than that it is ErrOutdated, because Suppression does not reach up to the erasure any more. Zero: whenever.
	Before time.Time
	// Replayed: the erasure took place before, and the vault was restored from an older backup. No hold that was ordered since forbids it.
	Replayed bool
}

// ErrOutdated: what an erasure was prepared with does not hold any more. Nothing was destroyed; prepare it anew.
var ErrOutdated = errors.New("an erasure was prepared too long ago")

// Erased is what was destroyed.
type Erased struct {
	Subject gdpr.SubjectID
	KeyID   gdpr.KeyID
	At      time.Time // kept in microseconds, UTC
	Exports int       // archives, and attempts at them, whose secrets went along
}

const (
	destroyedColumns = `SELECT request, subject, key_id, at_micros, exports, mac FROM destroyed`
	insertDestroyed  = `INSERT INTO destroyed (request, subject, key_id, at_micros, exports, mac) VALUES (?, ?, ?, ?, ?, ?)`
	selectErasable   = `SELECT lookup, key_id FROM subjects WHERE id = ?`
)

// destroyedRow has a MAC: a request that has destroyed is said in the log, signed, and what is said there is erased again in a restored vault.
type destroyedRow struct {
	request [16]byte
	Erased
}

func (d *destroyedRow) describe(t *rowText) {
	t.begin("destroyed", d.request)
	t.bytes(d.Subject[:])
	t.bytes(d.KeyID[:])
	t.time(d.At)
	t.number(int64(d.Exports))
}

func scanDestroyed(rows scanner, d *destroyedRow) error {
	return rows.Scan(fixed(d.request[:]), fixed(d.Subject[:]), fixed(d.KeyID[:]), microTime{&d.At}, &d.Exports)
}

// destroyedBy returns what a request has destroyed, and false if that is nothing yet.
func (v *Vault) destroyedBy(ctx context.Context, q queryer, request [16]byte) (Erased, bool, error) {
	list, err := genuine(ctx, v, q, scanDestroyed, destroyedColumns+` WHERE request = ?`, request[:])
	if err != nil || len(list) == 0 {
		return Erased{}, false, err
	}
	return list[0].Erased, true, nil
}

type erasable struct {
	lookup LookupHash
	key    gdpr.KeyID
}

func scanErasable(rows *sql.Rows, e *erasable) error {
	return rows.Scan(fixed(e.lookup[:]), fixed(e.key[:]))
}

// Erase destroys a person in one transaction: pseudonym, look-up hash, identity and keys go; what was destroyed, and what keeps late records from bringing the
// person back, are noted apart from each other. It takes the same time however much the person has done. Caches follow within their lease.
//
// Called again for the same request it returns what was destroyed then. It returns false if there is no such subject, and a *HeldError if a legal hold of the
// subject forbids it. With SQLite nothing of the person is in the database's files when it returns without an error.
func (v *Vault) Erase(ctx context.Context, e Erasure) (done Erased, found bool, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		done, found, err = v.eraseOnce(ctx, tx, &e)
		return err
	})
	if err != nil {
		return Erased{}, false, v.failed("erase a subject", err)
	}
	if err := v.db.erase(ctx); err != nil {
		return Erased{}, false, v.failed("erase a subject from the vault's files", err)
	}
	return done, found, nil
}

func (v *Vault) eraseOnce(ctx context.Context, tx *sql.Tx, e *Erasure) (Erased, bool, error) {
	if before, found, err := v.destroyedBy(ctx, tx, e.Request); err != nil || found {
		return before, found, err
	}
	if !e.Replayed {
		if err := v.forbidden(ctx, tx, e); err != nil {
			return Erased{}, false, err
		}
	}
	rows, err := collect(ctx, tx, scanErasable, v.db.query(selectErasable+v.db.forUpdate()), e.Subject[:])
	if err != nil || len(rows) == 0 {
		return Erased{}, false, err
	}
	done := Erased{Subject: e.Subject, KeyID: rows[0].key, At: e.At.UTC().Truncate(time.Microsecond)}
	if err := v.storeSuppression(ctx, tx, &rows[0].lookup, &e.Suppression); err != nil {
		return Erased{}, false, err
	}
	gone, err := v.deleteSubject(ctx, tx, e.Subject)
	if err != nil {
		return Erased{}, false, err
	}
	done.Exports = int(gone[tableExports])
	if _, err := tx.ExecContext(ctx, v.db.query(insertDestroyed), e.Request[:], done.Subject[:], done.KeyID[:], done.At.UnixMicro(), gone[tableExports],
		v.mac(&destroyedRow{e.Request, done})); err != nil {
		return Erased{}, false, err
	}
	if _, err = v.noteChange(ctx, tx, &e.Subject); err != nil {
		return Erased{}, false, err
	}
	// At the end: the transaction may have waited for others.
	if !e.Before.IsZero() && time.Now().After(e.Before) {
		return Erased{}, false, ErrOutdated
	}
	return done, true, nil
}

// forbidden returns a *HeldError if a hold of the subject forbids an erasure, and ErrOutdated if there is another hold that nobody has weighed.
func (v *Vault) forbidden(ctx context.Context, tx *sql.Tx, e *Erasure) error {
	// All of them, not those that are not lifted: whether one is lifted is true only if its MAC is right.
	list, err := genuine(ctx, v, tx, scanHold, holdColumns+` ORDER BY at_micros, id`)
	if err != nil {
		return err
	}
	var unknown error
	for i := range list {
		switch hold := &list[i]; {
		case !hold.Active(e.At):
		case hold.Subject == e.Subject:
			return &HeldError{*hold}
		case !slices.Contains(e.Weighed, hold.ID):
			unknown = ErrOutdated
		}
	}
	return unknown
}

// Destroyed returns what a request has destroyed, and false if it has destroyed nothing yet.
func (v *Vault) Destroyed(ctx context.Context, request [16]byte) (Erased, bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	erased, found, err := v.destroyedBy(ctx, v.db.read, request)
	if err != nil {
		return Erased{}, false, v.failed("look for what was destroyed", err)
	}
	return erased, found, nil
}

// KeepsDeleted says whether the database keeps what was deleted for a while: PostgreSQL has dead rows and a journal, which open as long as the generation of
// the key-encryption key is there that they were wrapped under.
func (v *Vault) KeepsDeleted() bool { return v.db.keepsDeleted() }

// traces are where a pseudonym or a key id may stand while the subject is there. (Of one that is destroyed the record of the destruction has both, and legal
// holds the pseudonym.)
var traces = []struct{ table, column string }{
	{"subjects", "id"}, {"subjects", "key_id"}, {"exports", "subject"}, {"consents", "subject"}, {"consent_changes", "subject"}, {"restrictions", "subject"},
}

// Traces counts the rows that still have a destroyed subject's pseudonym or key.
func (v *Vault) Traces(ctx context.Context, subject gdpr.SubjectID, key gdpr.KeyID) (uint64, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var all uint64
	for _, at := range traces {
		id := subject[:]
		if at.column == "key_id" {
			id = key[:]
		}
		n, err := collect(ctx, v.db.read, scanCount, v.db.query(`SELECT count(*) FROM `+at.table+` WHERE `+at.column+` = ?`), id)
		if err != nil {
			return 0, v.failed("look for what an erasure has left", err)
		}
		all += n[0]
	}
	return all, nil
}

func scanCount(rows *sql.Rows, n *uint64) error { return rows.Scan(n) }

// Exist returns those of some subjects who are there.
func (v *Vault) Exist(ctx context.Context, ids []gdpr.SubjectID) ([]gdpr.SubjectID, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	var there []gdpr.SubjectID
	for some := range slices.Chunk(ids, subjectsPerTransaction) {
		set := make([][]byte, len(some))
		for i := range some {
			set[i] = some[i][:]
		}
		found, err := collect(ctx, v.db.read, scanID, v.db.query(`SELECT id FROM subjects WHERE `+v.db.in("id")), v.db.set(set))
		if err != nil {
			return nil, v.failed("look for subjects", err)
		}
		there = append(there, found...)
	}
	return there, nil
}

func scanID(rows *sql.Rows, id *gdpr.SubjectID) error { return rows.Scan(fixed(id[:])) }
