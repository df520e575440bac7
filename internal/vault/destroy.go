package vault

import (
	"context"
	"database/sql"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// changesKept is how long the subjects of changes are remembered. A cache that has not asked for so long drops everything.
const changesKept = time.Hour

const (
	deleteSubject  = `DELETE FROM subjects WHERE id = ?`
	countChange    = `UPDATE change_counter SET changes = changes + 1`
	selectChanges  = `SELECT changes FROM change_counter`
	insertChange   = `INSERT INTO changes (change, subject, at_micros) VALUES (?, ?, ?)`
	pruneChanges   = `DELETE FROM changes WHERE at_micros < ?`
	selectSubjects = `SELECT change, subject FROM changes WHERE change > ? ORDER BY change`
)

// Destroy deletes a subject: pseudonym, look-up hash, identity and keys. Caches drop it within their lease. It is no error if there is none, so that a
// call whose outcome is unknown can be repeated. With SQLite nothing of the row is in the database's files when Destroy returns without an error.
func (v *Vault) Destroy(ctx context.Context, id gdpr.SubjectID) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	err := v.db.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, v.db.query(deleteSubject), id[:])
		if err != nil {
			return err
		}
		if deleted, err := result.RowsAffected(); err != nil || deleted == 0 {
			return err
		}
		return v.noteChange(ctx, tx, id)
	})
	if err != nil {
		return v.failed("destroy a subject", err)
	}
	if err := v.db.erase(ctx); err != nil {
		return v.failed("erase a destroyed subject from the vault's files", err)
	}
	return nil
}

// noteChange counts a change. The counter's row stays locked until the transaction ends, so changes become visible in the order of their numbers and
// without gaps.
func (v *Vault) noteChange(ctx context.Context, tx *sql.Tx, id gdpr.SubjectID) error {
	if _, err := tx.ExecContext(ctx, countChange); err != nil {
		return err
	}
	var change int64
	if err := tx.QueryRowContext(ctx, selectChanges).Scan(&change); err != nil {
		return err
	}
	now := time.Now()
	if _, err := tx.ExecContext(ctx, v.db.query(insertChange), change, id[:], now.UnixMicro()); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, v.db.query(pruneChanges), now.Add(-changesKept).UnixMicro())
	return err
}

// changes is what happened to subjects since a cache asked last.
type changes struct {
	upTo      int64            // the counter
	destroyed []gdpr.SubjectID // since then
	// unknown: which subjects were destroyed is not known any more, or the database went back in time (a restored backup).
	unknown bool
}

// changesSince asks for the changes after a number.
func (v *Vault) changesSince(ctx context.Context, since int64) (changes, error) {
	var counter int64
	if err := v.db.watch.QueryRowContext(ctx, selectChanges).Scan(&counter); err != nil {
		return changes{}, v.failed("ask the vault for changes", err)
	}
	if counter == since {
		return changes{upTo: counter}, nil
	}
	type change struct {
		number  int64
		subject gdpr.SubjectID
	}
	list, err := collect(ctx, v.db.watch, func(rows *sql.Rows, c *change) error {
		return rows.Scan(&c.number, fixed(c.subject[:]))
	}, v.db.query(selectSubjects), since)
	if err != nil {
		return changes{}, v.failed("ask the vault for changes", err)
	}
	// Between the two queries more may have been destroyed, which the list holds too. If it has no gap, its last number follows from its length.
	last := since + int64(len(list))
	if counter < since || last < counter || list[len(list)-1].number != last {
		return changes{upTo: counter, unknown: true}, nil
	}
	result := changes{upTo: last}
	for i := range list {
		result.destroyed = append(result.destroyed, list[i].subject)
	}
	return result, nil
}
