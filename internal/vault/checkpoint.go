package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Checkpoint is the state of a log that was vouched for last.
type Checkpoint struct {
	Log  string
	Size uint64     // entries
	Head chain.Hash // leaf hash of the last entry
	Root chain.Hash // of the Merkle tree over their leaf hashes
	Note string     // what says so, signed: see Open
	At   time.Time  // kept in microseconds, UTC
}

const (
	checkpointColumns = `SELECT log, size, head, root, note, at_micros FROM checkpoints`
	insertCheckpoint  = `INSERT INTO checkpoints (log, size, head, root, note, at_micros) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (log) DO NOTHING`
	updateCheckpoint  = `UPDATE checkpoints SET size = ?, head = ?, root = ?, note = ?, at_micros = ? WHERE log = ? AND size = ?`
	updateNote        = `UPDATE checkpoints SET note = ? WHERE log = ? AND size = ? AND root = ?`
)

// Open checks what is signed: that a known key has signed (else chain.ErrNotSigned), for this deployment, what stands beside the note. The note alone counts:
// whoever has the vault could write the rest.
func (c *Checkpoint) Open(deployment string, known note.Verifiers) error {
	said, _, err := chain.OpenCheckpoint([]byte(c.Note), known)
	if err == nil && said != (chain.Checkpoint{Deployment: deployment, Log: c.Log, Size: c.Size, Root: c.Root}) {
		err = errors.New("it says something else than what is signed")
	}
	return err
}

func scanCheckpoint(rows *sql.Rows, c *Checkpoint) error {
	return rows.Scan(&c.Log, &c.Size, fixed(c.Head[:]), fixed(c.Root[:]), &c.Note, microTime{&c.At})
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
	var changed int64
	if oldSize == 0 {
		changed, err = v.db.exec(ctx, insertCheckpoint, log, int64(next.Size), next.Head[:], next.Root[:], next.Note, at)
	} else {
		changed, err = v.db.exec(ctx, updateCheckpoint, int64(next.Size), next.Head[:], next.Root[:], next.Note, at, log, int64(oldSize))
	}
	if err != nil {
		return false, v.failed("store the checkpoint of "+log, err)
	}
	return changed == 1, nil
}

// ReplaceNote stores a note that says the same of a log with other signatures, because the keys have changed. It changes nothing when the log's checkpoint
// has moved on since.
func (v *Vault) ReplaceNote(ctx context.Context, c Checkpoint, note string) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if _, err := v.db.exec(ctx, updateNote, note, c.Log, int64(c.Size), c.Root[:]); err != nil {
		return v.failed("sign the checkpoint of "+c.Log+" anew", err)
	}
	return nil
}
