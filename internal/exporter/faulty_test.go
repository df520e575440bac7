package exporter

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// faulty is one exporter's way to its systems.
type faulty struct {
	weather *weather
	process *process
	ledger  ledger
	table   table
	outbox  outbox

	mu   sync.Mutex
	dead bool // the process was killed: nothing that it does has an effect
}

// meet makes a call, or what the weather makes of it.
func meet[T any](ctx context.Context, f *faulty, s step, log string, do func(ctx context.Context) (T, error)) (result T, err error) {
	var none T
	if f.isDead() {
		return none, context.Canceled
	}
	switch o := f.weather.next(s, log); o {
	case fine:
		return do(ctx)
	case done:
		if _, err := do(ctx); err != nil {
			return none, err
		}
	case late, last:
		by := lateBy
		if o == last {
			by = lastBy
		}
		free := context.WithoutCancel(ctx)
		f.weather.mu.Lock()
		f.weather.pending = append(f.weather.pending, pendingCall{by, func() { _, _ = do(free) }}) // nobody hears what came of it
		f.weather.mu.Unlock()
	case killedBefore:
		f.die()
		return none, context.Canceled
	case killedAfter:
		_, err := do(ctx)
		f.die()
		return none, errors.Join(context.Canceled, err)
	}
	return none, errInjected
}

func (f *faulty) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

func (f *faulty) die() {
	f.mu.Lock()
	f.dead = true
	f.mu.Unlock()
	f.process.cancel()
}

// killed says whether a process was.
func (p *process) killed() bool { return p.ledger.(faultyLedger).isDead() }

type faultyLedger struct{ *faulty }

func (f faultyLedger) Deployment() string { return f.ledger.Deployment() }

func (f faultyLedger) Checkpoint(ctx context.Context, log string) (vault.Checkpoint, bool, error) {
	type answer struct {
		checkpoint vault.Checkpoint
		found      bool
	}
	a, err := meet(ctx, f.faulty, readCheckpoint, log, func(ctx context.Context) (a answer, err error) {
		a.checkpoint, a.found, err = f.ledger.Checkpoint(ctx, log)
		return a, err
	})
	return a.checkpoint, a.found, err
}

func (f faultyLedger) CompareAndSwapCheckpoint(ctx context.Context, log string, oldSize uint64, next vault.Checkpoint) (bool, error) {
	defer f.ask(log)
	return meet(ctx, f.faulty, swapping, log, func(ctx context.Context) (bool, error) {
		swapped, err := f.ledger.CompareAndSwapCheckpoint(ctx, log, oldSize, next)
		if swapped {
			f.weather.sees([]byte(next.Note))
		}
		return swapped, err
	})
}

func (f faultyLedger) ReplaceNote(ctx context.Context, c vault.Checkpoint, note string) error {
	defer f.ask(c.Log)
	_, err := meet(ctx, f.faulty, replacingNote, c.Log, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.ledger.ReplaceNote(ctx, c, note)
	})
	return err
}

// ask looks at the log's checkpoint over HTTP, as anybody can at any time. It never goes back.
func (f faultyLedger) ask(log string) {
	f.weather.mu.Lock()
	floor := f.weather.floor[log]
	f.weather.mu.Unlock()
	w := httptest.NewRecorder()
	f.process.Handler().ServeHTTP(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, logPrefix+log+"/checkpoint", nil))
	if w.Code != http.StatusOK {
		return
	}
	f.weather.sees(w.Body.Bytes())
	point, err := chain.ReadCheckpoint(w.Body.Bytes())
	if err != nil || point.Size < floor {
		f.weather.rig.t.Errorf("the checkpoint of %s went back from %d entries to %d (%v)", log, floor, point.Size, err)
	}
	f.weather.mu.Lock()
	defer f.weather.mu.Unlock()
	f.weather.floor[log] = max(f.weather.floor[log], point.Size)
}

type faultyTable struct{ *faulty }

func (f faultyTable) EntryAt(ctx context.Context, log string, seq uint64) ([]byte, error) {
	return meet(ctx, f.faulty, readHead, log, func(ctx context.Context) ([]byte, error) { return f.table.EntryAt(ctx, log, seq) })
}

func (f faultyTable) TileHashes(ctx context.Context, log string, place chain.TilePlace) ([]byte, error) {
	return meet(ctx, f.faulty, loadTiles, log, func(ctx context.Context) ([]byte, error) { return f.table.TileHashes(ctx, log, place) })
}

func (f faultyTable) StageTiles(ctx context.Context, log string, tiles []store.StoredTile) error {
	if len(tiles) == 0 {
		return nil // no call
	}
	_, err := meet(ctx, f.faulty, stagingTiles, log, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.table.StageTiles(ctx, log, tiles)
	})
	return err
}

// ScanLinks hands out entries before it fails: "done" all of them, "half" some.
func (f faultyTable) ScanLinks(ctx context.Context, log string, from uint64, fn func(*store.Scanned) error) error {
	if f.isDead() {
		return context.Canceled
	}
	o := f.weather.next(scanEntries, log)
	switch o {
	case lost, late, last:
		return errInjected
	case killedBefore:
		f.die()
		return context.Canceled
	}
	n := uint64(0)
	err := f.table.ScanLinks(ctx, log, from, func(e *store.Scanned) error {
		switch n++; {
		case o == half && n > 100:
			return errInjected
		case o == gap && e.Seq == gapSeq:
			return nil
		}
		return fn(e)
	})
	switch {
	case o == killedAfter:
		f.die()
		return errors.Join(context.Canceled, err)
	case err == nil && o == done:
		return errInjected
	}
	return err
}

type faultyOutbox struct{ *faulty }

func (f faultyOutbox) Produce(ctx context.Context, topic string, messages []kafkaio.Message) error {
	_, err := meet(ctx, f.faulty, publishing, "", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.outbox.Produce(ctx, topic, messages)
	})
	return err
}

type faultySigner struct {
	note.Signer
	f *faulty
}

func (s faultySigner) Sign(msg []byte) ([]byte, error) {
	return meet(context.Background(), s.f, signing, "", func(context.Context) ([]byte, error) { return s.Signer.Sign(msg) })
}
