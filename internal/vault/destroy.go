package vault

import (
	"context"
	"database/sql"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const deleteSubject = `DELETE FROM subjects WHERE id = ?`

// belongings are the tables of what goes with a subject, each with a column "subject".
var belongings = []string{"consents", "consent_changes", "restrictions", tableExports, tableDetectorStates}

// deleteSubject deletes a subject and what goes with it, and returns how many rows of each table these were; nil if there is no such subject. The subject comes
// first: who adds to its belongings holds it.
func (v *Vault) deleteSubject(ctx context.Context, tx *sql.Tx, id gdpr.SubjectID) (gone map[string]int64, err error) {
	result, err := tx.ExecContext(ctx, v.db.query(deleteSubject), id[:])
	if err != nil {
		return nil, err
	}
	if deleted, err := result.RowsAffected(); err != nil || deleted == 0 {
		return nil, err
	}
	gone = map[string]int64{}
	for _, table := range belongings {
		result, err := tx.ExecContext(ctx, v.db.query(`DELETE FROM `+table+` WHERE subject = ?`), id[:])
		if err != nil {
			return nil, err
		}
		if gone[table], err = result.RowsAffected(); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// Destroy deletes a subject: pseudonym, look-up hash, identity and keys, and what goes with it. Caches drop it within their lease. It is no error if there is
// none, so that a call whose outcome is unknown can be repeated. With SQLite nothing of the row is in the database's files when Destroy returns without an error.
func (v *Vault) Destroy(ctx context.Context, id gdpr.SubjectID) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if gone, err := v.deleteSubject(ctx, tx, id); err != nil || gone == nil {
			return err
		}
		_, err := v.noteChange(ctx, tx, &id)
		return err
	})
	if err != nil {
		return v.failed("destroy a subject", err)
	}
	if err := v.db.erase(ctx); err != nil {
		return v.failed("erase a destroyed subject from the vault's files", err)
	}
	return nil
}
