package vault

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	insertRestriction = `INSERT INTO restrictions (subject, request, at_micros) VALUES (?, ?, ?) ON CONFLICT (subject) DO NOTHING`
	deleteRestriction = `DELETE FROM restrictions WHERE subject = ?`
)

// Restrict marks a person whose data is to be shown to nobody but the data protection officer, and returns false if there is no such person. It is no error if
// the person is marked already; then there is nothing to be said.
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
		result, err := tx.ExecContext(ctx, v.db.query(insertRestriction), subject[:], request[:], at.UnixMicro())
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

// Unrestrict removes the mark, and returns false if there is none.
func (v *Vault) Unrestrict(ctx context.Context, subject gdpr.SubjectID, said ...Saying) (bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	lifted, err := v.changeAndNote(ctx, said, deleteRestriction, subject[:])
	if err != nil {
		return false, v.failed("lift a restriction", err)
	}
	return lifted, nil
}

// Restricted returns those of some people who are marked.
func (v *Vault) Restricted(ctx context.Context, ids []gdpr.SubjectID) (map[gdpr.SubjectID]bool, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	marked := make(map[gdpr.SubjectID]bool)
	query := v.db.query(`SELECT subject FROM restrictions WHERE ` + v.db.in("subject"))
	for some := range slices.Chunk(ids, subjectsPerTransaction) {
		set := make([][]byte, len(some))
		for i := range some {
			set[i] = some[i][:]
		}
		found, err := collect(ctx, v.db.read, scanID, query, v.db.set(set))
		if err := v.db.settled(err); err != nil {
			return nil, v.failed("look for restrictions", err)
		}
		for _, id := range found {
			marked[id] = true
		}
	}
	return marked, nil
}
