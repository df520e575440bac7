package vault

import (
	"context"
	"database/sql"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const deleteSubject = `DELETE FROM subjects WHERE id = ?`

// belongings are the tables of what goes with a subject, each with a column "subject".
var belongings = []string{"consents", "consent_changes"}

// deleteSubject deletes a subject and what goes with it, and returns false if there is none. The subject comes first: who adds to its belongings holds it.
func (v *Vault) deleteSubject(ctx context.Context, tx *sql.Tx, id gdpr.SubjectID) (bool, error) {
	result, err := tx.ExecContext(ctx, v.db.query(deleteSubject), id[:])
	if err != nil {
		return false, err
	}
	if deleted, err := result.RowsAffected(); err != nil || deleted == 0 {
		return false, err
	}
	for _, table := range belongings {
		if _, err := tx.ExecContext(ctx, v.db.query(`DELETE FROM `+table+` WHERE subject = ?`), id[:]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Destroy deletes a subject: pseudonym, look-up hash, identity and keys, and what goes with it. Caches drop it within their lease. It is no error if there is
// none, so that a call whose outcome is unknown can be repeated. With SQLite nothing of the row is in the database's files when Destroy returns without an error.
func (v *Vault) Destroy(ctx context.Context, id gdpr.SubjectID) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		if deleted, err := v.deleteSubject(ctx, tx, id); err != nil || !deleted {
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
