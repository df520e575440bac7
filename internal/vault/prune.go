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

// Prune is a part of a log that was dropped, or is about to be.
type Prune struct {
	Log    string
	What   string   // chain.PrunedEntries or chain.PrunedContents
	Behind uint64   // the first entry that is not concerned
	Note   string   // what says so, signed: see Open
	Record [16]byte // event id of the system record that says it in the log
	Reason string
	At     time.Time // kept in microseconds, UTC
	Done   time.Time // zero: what was to be dropped may still be there
}

const (
	pruneColumns = `SELECT log, what, behind, note, record, reason, at_micros, done_micros FROM prunes`
	insertPrune  = `INSERT INTO prunes (log, what, behind, note, record, reason, at_micros) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`
	finishPrune  = `UPDATE prunes SET done_micros = ? WHERE log = ? AND what = ? AND behind = ? AND done_micros = 0`
)

// Open checks what is signed, as Checkpoint.Open does, and returns it: else whoever has the vault could have anything deleted, and hide what he deletes.
func (p *Prune) Open(deployment string, known note.Verifiers) (chain.Pruned, error) {
	said, err := chain.OpenPruned([]byte(p.Note), known)
	if err == nil && (said.Deployment != deployment || said.Log != p.Log || said.What != p.What || said.Behind != p.Behind) {
		err = errors.New("it is signed for something else")
	}
	if err != nil {
		return chain.Pruned{}, err
	}
	return said, nil
}

func scanPrune(rows *sql.Rows, p *Prune) error {
	if err := rows.Scan(&p.Log, &p.What, &p.Behind, &p.Note, fixed(p.Record[:]), &p.Reason, microTime{&p.At}, microTime{&p.Done}); err != nil {
		return err
	}
	if p.Done.UnixMicro() == 0 {
		p.Done = time.Time{}
	}
	return nil
}

// RecordPrune stores a prune before anything is dropped, and returns the one that is stored: somebody else may have been faster with the same, and then
// recorded is false. After an error the outcome is unknown: call it again.
func (v *Vault) RecordPrune(ctx context.Context, p Prune) (stored Prune, recorded bool, err error) {
	if p.Behind == 0 || p.Behind > math.MaxInt64 {
		return Prune{}, false, fmt.Errorf("record a prune of %s behind %d entries", p.Log, p.Behind)
	}
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	inserted, err := v.db.exec(ctx, insertPrune, p.Log, p.What, int64(p.Behind), p.Note, p.Record[:], p.Reason, p.At.UnixMicro())
	if err != nil {
		return Prune{}, false, v.failed("record a prune of "+p.Log, err)
	}
	list, err := v.prunes(ctx, pruneColumns+` WHERE log = ? AND what = ? AND behind = ?`, p.Log, p.What, int64(p.Behind))
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("record a prune of %s: it is gone again", p.Log)
	}
	if err != nil {
		return Prune{}, false, err
	}
	return list[0], inserted == 1, nil
}

// FinishPrune notes that what a prune names is gone.
func (v *Vault) FinishPrune(ctx context.Context, p Prune, at time.Time) error {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	if _, err := v.db.exec(ctx, finishPrune, at.UnixMicro(), p.Log, p.What, int64(p.Behind)); err != nil {
		return v.failed("finish a prune of "+p.Log, err)
	}
	return nil
}

// Prunes returns everything that was dropped or is about to be, by log, what, and place.
func (v *Vault) Prunes(ctx context.Context) ([]Prune, error) {
	return v.prunes(ctx, pruneColumns+` ORDER BY log, what, behind`)
}

// LatestPrunes returns the furthest prune of a log's entries and that of its contents; nil if there is none.
func (v *Vault) LatestPrunes(ctx context.Context, log string) (entries, contents *Prune, err error) {
	list, err := v.prunes(ctx, pruneColumns+` WHERE log = ? ORDER BY behind`, log)
	if err != nil {
		return nil, nil, err
	}
	for i := range list {
		switch list[i].What {
		case chain.PrunedEntries:
			entries = &list[i]
		case chain.PrunedContents:
			contents = &list[i]
		}
	}
	return entries, contents, nil
}

func (v *Vault) prunes(ctx context.Context, query string, args ...any) ([]Prune, error) {
	ctx, cancel := v.bounded(ctx)
	defer cancel()
	list, err := collect(ctx, v.db.read, scanPrune, v.db.query(query), args...)
	if err != nil {
		return nil, v.failed("read the prunes", err)
	}
	return list, nil
}
