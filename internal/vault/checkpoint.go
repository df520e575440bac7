package vault

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Checkpoint is the state of a log that was vouched for last.
type Checkpoint struct {
	Log  string
	Size uint64     // entries
	Head chain.Hash // leaf hash of the last entry
	At   time.Time  // kept in microseconds, UTC
}

const (
	checkpointColumns = `SELECT log, size, head, at_micros FROM checkpoints`
	insertCheckpoint  = `INSERT INTO checkpoints (log, size, head, at_micros) VALUES (?, ?, ?, ?) ON CONFLICT (log) DO NOTHING`
	updateCheckpoint  = `UPDATE checkpoints SET size = ?, head = ?, at_micros = ? WHERE log = ? AND size = ?`
)

func scanCheckpoint(rows *sql.Rows, c *Checkpoint) error {
	return rows.Scan(&c.Log, &c.Size, fixed(c.Head[:]), microTime{&c.At})
}

// Checkpoint returns the latest checkpoint of a log, and false if there is none.
func (v *Vault) Checkpoint(ctx context.Context, log string) (Checkpoint, bool, error) {
	list, err := v.checkpoints(ctx, checkpointColumns+` WHERE log = ?`, log)
	if err != nil || len(list) == 0 {
		return Checkpoint{}, false, err
	}
	return list[0], true, nil
}

// Checkpoints returns the latest checkpoint of every log, by name.
func (v *Vault) Checkpoints(ctx context.Context) ([]Checkpoint, error) {
	return v.checkpoints(ctx, checkpointColumns+` ORDER BY log`)
}

func (v *Vault) checkpoints(ctx context.Context, query string, args ...any) ([]Checkpoint, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanCheckpoint, v.db.query(query), args...)
	if err != nil {
		return nil, v.failed("read checkpoints", err)
	}
	return list, nil
}

// CompareAndSwapCheckpoint stores next if the log's latest checkpoint has oldSize entries (0: there is none). next must be larger. After an error the
// outcome is unknown: read the checkpoint to learn it.
func (v *Vault) CompareAndSwapCheckpoint(ctx context.Context, log string, oldSize uint64, next Checkpoint) (swapped bool, err error) {
	if next.Log != log || next.Size <= oldSize || next.Size > math.MaxInt64 {
		return false, fmt.Errorf("checkpoint of %s at %d entries cannot follow one of %s at %d", next.Log, next.Size, log, oldSize)
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	at := next.At.UnixMicro()
	var result sql.Result
	if oldSize == 0 {
		result, err = v.db.write.ExecContext(ctx, v.db.query(insertCheckpoint), log, int64(next.Size), next.Head[:], at)
	} else {
		result, err = v.db.write.ExecContext(ctx, v.db.query(updateCheckpoint), int64(next.Size), next.Head[:], at, log, int64(oldSize))
	}
	if err != nil {
		return false, v.failed("store the checkpoint of "+log, err)
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return false, v.failed("store the checkpoint of "+log, err)
	}
	return changed == 1, nil
}
