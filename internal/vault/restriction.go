package vault

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	restrictionColumns = `SELECT request, subject, at_micros, lifted_micros, mac FROM restrictions`
	insertRestriction  = `INSERT INTO restrictions (request, subject, at_micros, mac) VALUES (?, ?, ?, ?) ON CONFLICT (request) DO NOTHING`
	// liftRestriction keeps the row: that a request is not among them shows that the vault was restored.
	liftRestriction = `UPDATE restrictions SET lifted_micros = ?, mac = ? WHERE request = ?`
)

type restrictionRow struct {
	request    [16]byte
	subject    gdpr.SubjectID
	at, lifted time.Time // lifted is zero while it lasts
}

func (r *restrictionRow) describe(t *rowText) {
	t.begin("restrictions", r.request)
	t.bytes(r.subject[:])
	t.time(r.at)
	t.time(r.lifted)
}

func scanRestriction(rows scanner, r *restrictionRow) error {
	err := rows.Scan(fixed(r.request[:]), fixed(r.subject[:]), microTime{&r.at}, microTime{&r.lifted})
	if r.lifted.UnixMicro() == 0 {
		r.lifted = time.Time{}
	}
	return err
}

// Restrict marks a person whose data is to be shown to nobody but the data protection officer, and returns false if there is no such person. It is no error if
// the same request did so already; then there is nothing to be said.
func (v *Vault) Restrict(ctx context.Context, subject gdpr.SubjectID, request [16]byte, at time.Time, said ...Saying) (found bool, err error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err = v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		found = false
		// The person stays until the end of the transaction: a mark of somebody who is gone would never go.
		there, err := collect(ctx, tx, scanID, v.db.query(`SELECT id FROM subjects WHERE id = ?`+v.db.forShare()), subject[:])
		if err != nil || len(there) == 0 {
			return err
		}
		found = true
		result, err := tx.ExecContext(ctx, v.db.query(insertRestriction), request[:], subject[:], at.UnixMicro(),
			v.mac(&restrictionRow{request: request, subject: subject, at: at}))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			// It is there. A row that somebody else has made in its place restricts nobody, or another.
			_, err = genuine(ctx, v, tx, scanRestriction, restrictionColumns+` WHERE request = ?`, request[:])
		}
		if err != nil || n == 0 {
			return err
		}
		return v.note(ctx, tx, said)
	})
	if err != nil {
		return false, v.failed("restrict a subject", err)
	}
	return found, nil
}

// Unrestrict ends all restrictions of a person, and returns false if there is none.
func (v *Vault) Unrestrict(ctx context.Context, subject gdpr.SubjectID, at time.Time, said ...Saying) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	lifted := false
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		lifted = false
		list, err := genuine(ctx, v, tx, scanRestriction, restrictionColumns+` WHERE subject = ? ORDER BY request`+v.db.forUpdate(), subject[:])
		if err != nil {
			return err
		}
		for i := range list {
			row := &list[i]
			if !row.lifted.IsZero() {
				continue
			}
			row.lifted = at
			if _, err := tx.ExecContext(ctx, v.db.query(liftRestriction), at.UnixMicro(), v.mac(row), row.request[:]); err != nil {
				return err
			}
			lifted = true
		}
		if !lifted {
			return nil
		}
		return v.note(ctx, tx, said)
	})
	if err != nil {
		return false, v.failed("lift a restriction", err)
	}
	return lifted, nil
}

// Restricted returns those of some people who are marked. A forged row marks whom it names: it may be that of a restriction that somebody wants to end.
func (v *Vault) Restricted(ctx context.Context, ids []gdpr.SubjectID) (map[gdpr.SubjectID]bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	marked := make(map[gdpr.SubjectID]bool)
	for some := range slices.Chunk(ids, subjectsPerTransaction) {
		set := make([][]byte, len(some))
		for i := range some {
			set[i] = some[i][:]
		}
		list, forged, err := sorted(ctx, v, v.db.read, scanRestriction, restrictionColumns+` WHERE `+v.db.in("subject"), v.db.set(set))
		if err := v.db.settled(err); err != nil {
			return nil, v.failed("look up whose data is restricted", err)
		}
		for i := range list {
			if list[i].lifted.IsZero() {
				marked[list[i].subject] = true
			}
		}
		for i := range forged {
			marked[forged[i].row.subject] = true
		}
	}
	return marked, nil
}

// KnownRestrictions returns those of some requests by which somebody was restricted, also if that is over.
func (v *Vault) KnownRestrictions(ctx context.Context, requests [][16]byte) (map[[16]byte]bool, error) {
	return thoseIn(ctx, v, `SELECT request FROM restrictions WHERE `, "request", requests)
}

// thoseIn returns those of some ids that a query selects, which ends where the condition on a column is to stand.
func thoseIn[ID ~[16]byte](ctx context.Context, v *Vault, query, column string, ids []ID) (map[ID]bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	those := make(map[ID]bool)
	for some := range slices.Chunk(ids, subjectsPerTransaction) {
		set := make([][]byte, len(some))
		for i := range some {
			id := [16]byte(some[i])
			set[i] = id[:]
		}
		found, err := collect(ctx, v.db.read, scanID, v.db.query(query+v.db.in(column)), v.db.set(set))
		if err := v.db.settled(err); err != nil {
			return nil, v.failed("look up ids", err)
		}
		for _, id := range found {
			those[ID(id)] = true
		}
	}
	return those, nil
}
