package vault

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	insertRestriction = `INSERT INTO restrictions (request, subject, at_micros) VALUES (?, ?, ?) ON CONFLICT (request) DO NOTHING`
	// liftRestrictions keeps the rows: that a request is not among them shows that the vault was restored.
	liftRestrictions = `UPDATE restrictions SET lifted_micros = ? WHERE subject = ? AND lifted_micros = 0`
)

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
		result, err := tx.ExecContext(ctx, v.db.query(insertRestriction), request[:], subject[:], at.UnixMicro())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
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
	lifted, err := v.changeAndNote(ctx, said, liftRestrictions, at.UnixMicro(), subject[:])
	if err != nil {
		return false, v.failed("lift a restriction", err)
	}
	return lifted, nil
}

// Restricted returns those of some people who are marked.
func (v *Vault) Restricted(ctx context.Context, ids []gdpr.SubjectID) (map[gdpr.SubjectID]bool, error) {
	return thoseIn(ctx, v, `SELECT DISTINCT subject FROM restrictions WHERE lifted_micros = 0 AND `, "subject", ids)
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
