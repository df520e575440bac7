package vault

import (
	"context"
	"crypto/rand"
	"database/sql"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	// changesKept is how long changes are kept at least. A cache that was without an answer for longer starts again, empty.
	changesKept = 10 * time.Minute
	// pruneEvery is after how many changes older ones are looked for.
	pruneEvery = 64
	// maxFollowed bounds how many changes a cache follows at once, so that the answer never takes as long as the lease. Starting again is cheaper.
	maxFollowed = 10_000
)

const (
	countChange  = `UPDATE change_counter SET changes = changes + 1, mark = ? RETURNING changes`
	insertChange = `INSERT INTO changes (change, mark, subject, at_micros) VALUES (?, ?, ?, ?)`
	// The last one that is old enough stays: a cache may have stood there ever since.
	deleteChanges = `DELETE FROM changes WHERE change < (SELECT change FROM changes WHERE at_micros >= ? ORDER BY change LIMIT 1) - 1`
	selectPoint   = `SELECT changes, mark FROM change_counter`
	selectChanges = `SELECT change, mark, subject FROM changes WHERE change >= ? ORDER BY change LIMIT ?`
)

// point is a state of the table of subjects: how many transactions have changed it, and the mark of the last one. Equal points are the same state, also
// when the database went back in time in between.
type point struct {
	number int64
	mark   [16]byte
}

// nowhere is no state of any vault.
var nowhere = point{number: -1}

// change is a transaction that created or destroyed subjects.
type change struct {
	point                    // after it
	destroyed gdpr.SubjectID // zero: it created subjects
}

// noteChange counts a transaction that destroys a subject, or creates some if destroyed is nil. It must be the transaction's last work: the counter's row
// stays locked until the end, so changes become visible in the order of their numbers and without gaps, and nobody who holds it waits for anybody.
func (v *Vault) noteChange(ctx context.Context, tx *sql.Tx, destroyed *gdpr.SubjectID) (point, error) {
	var p point
	rand.Read(p.mark[:]) // never fails
	if err := tx.QueryRowContext(ctx, v.db.query(countChange), p.mark[:]).Scan(&p.number); err != nil {
		return point{}, err
	}
	var subject any
	if destroyed != nil {
		subject = destroyed[:]
	}
	now := time.Now()
	if _, err := tx.ExecContext(ctx, v.db.query(insertChange), p.number, p.mark[:], subject, now.UnixMicro()); err != nil {
		return point{}, err
	}
	if p.number%pruneEvery != 0 {
		return p, nil
	}
	// The newest change stays, whatever the clock says: it is the one that has just been noted.
	_, err := tx.ExecContext(ctx, v.db.query(deleteChanges), now.Add(-changesKept).UnixMicro())
	return p, err
}

// present returns the point where the vault is.
func (v *Vault) present(ctx context.Context) (p point, err error) {
	err = v.db.watch.QueryRowContext(ctx, selectPoint).Scan(&p.number, fixed(p.mark[:]))
	if err := v.db.settled(err); err != nil {
		return point{}, v.failed("ask the vault where it is", err)
	}
	return p, nil
}

// changesSince returns the changes after a point, in order and without gaps. It returns false if they are not known: too many, too long ago, or the
// database never was at this point (it went back in time, or is another one).
func (v *Vault) changesSince(ctx context.Context, since point) ([]change, bool, error) {
	if since == nowhere {
		return nil, false, nil
	}
	list, err := collect(ctx, v.db.watch, scanChange, v.db.query(selectChanges), since.number, maxFollowed+2)
	if err := v.db.settled(err); err != nil {
		return nil, false, v.failed("ask the vault for changes", err)
	}
	if len(list) == 0 || len(list) > maxFollowed+1 || list[0].point != since {
		return nil, false, nil
	}
	for i := range list {
		if list[i].number != since.number+int64(i) {
			return nil, false, nil
		}
	}
	return list[1:], true, nil
}

func scanChange(rows *sql.Rows, c *change) error {
	var subject []byte
	if err := rows.Scan(&c.number, fixed(c.mark[:]), &subject); err != nil || subject == nil {
		return err
	}
	return fixed(c.destroyed[:]).Scan(subject)
}
