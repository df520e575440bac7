package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// stepEntries is how many entries are checked before the checkpoint moves, when there are many: some tenths of a second of work, and 6 MB of tiles.
	stepEntries = 200_000

	// faultLooks is how often a fault must be seen, from the checkpoint on and PollEvery apart, before it is one: a replica of ClickHouse that has not
	// received all parts shows gaps that pass.
	faultLooks = 3
)

// followLog follows one log, and checks what lies behind its checkpoint again and again, until ctx ends or the log is found bad. Then the log is left
// alone: its checkpoint stays at what was good. Other logs go on.
func (e *Exporter) followLog(ctx context.Context, log string) error {
	if err := e.lock.await(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	f := &follower{exporter: e, log: log, caughtUp: make(chan struct{})}
	w := e.newWitnessed(log)
	group.Go(func() error { return w.run(groupCtx) }) // ends with groupCtx or a fault
	group.Go(func() error {                           // ends with groupCtx or a fault
		if w.await(groupCtx) != nil {
			return nil
		}
		return f.run(groupCtx)
	})
	group.Go(func() error { return e.recheckLog(groupCtx, log, f.caughtUp) }) // ends with groupCtx or a fault
	err := group.Wait()
	var fault *chain.Fault
	if errors.As(err, &fault) {
		e.metrics.seals.behind(log)
		e.metrics.failures.Inc()
		e.log.Error("verification failed: the log is no longer followed and its checkpoint stays; the reason says what differs, docs/operations.md (Verification failed) what to do",
			"severity", "critical", "log", fault.Log, "seq", fault.Seq, "reason", fault.Reason)
		return nil
	}
	return ignoreEnd(ctx, err)
}

// follower moves the checkpoint of one log. It belongs to one goroutine.
type follower struct {
	exporter *Exporter
	log      string

	sealed   vault.Checkpoint   // the latest one known; zero Size: none
	verifier *chain.Verifier    // at sealed or behind it; nil: to be made from the vault's checkpoint
	tree     *chain.Tree        // over the entries that verifier has checked, but held; nil as that
	last     chain.Hash         // the last leaf of tree
	held     chain.Hash         // the leaf behind it, which nothing has confirmed yet
	holds    bool               // there is one
	staged   []store.StoredTile // full tiles of tree that are not stored yet
	keys     *signingKeys       // that have signed sealed; nil: unknown
	caughtUp chan struct{}      // closed once the checkpoint covered all entries
}

// run follows the log until ctx ends or a *chain.Fault was seen faultLooks times.
func (f *follower) run(ctx context.Context) error {
	faults, failing := 0, false
	wait := newBackoff()
	for {
		changed := f.exporter.changes.after()
		more, err := f.step(ctx)
		pause := f.exporter.cfg.PollEvery
		var fault *chain.Fault
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &fault):
			f.exporter.metrics.seals.behind(f.log)
			f.forget()
			if faults++; faults >= faultLooks {
				return fault
			}
		case err != nil:
			f.exporter.metrics.seals.behind(f.log)
			f.forget()
			if !failing {
				f.exporter.failing("following is interrupted, trying again", err, "log", f.log)
			}
			failing = true
			pause = wait.NextBackOff()
		default:
			faults, failing = 0, false
			wait.Reset()
			// After a lost compare-and-swap there is no verifier: go on at once and see how far the other exporter has come.
			if !more && f.verifier != nil {
				f.covered()
				select {
				case <-changed:
				case <-ctx.Done():
				}
			}
			continue
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// covered notes that the checkpoint covers all entries.
func (f *follower) covered() {
	f.exporter.metrics.seals.covered(f.log, f.sealed.Size)
	select {
	case <-f.caughtUp:
	default:
		close(f.caughtUp)
	}
}

// step checks what is new, up to stepEntries, and moves the checkpoint. more says that there is more. A *chain.Fault says that the log contradicts itself or the
// checkpoint; what was good before it is covered by the checkpoint nevertheless.
func (f *follower) step(ctx context.Context) (more bool, err error) {
	select {
	case f.exporter.scans <- struct{}{}:
		defer func() { <-f.exporter.scans }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if f.verifier == nil {
		if err := f.load(ctx); err != nil {
			return false, err
		}
	}
	more, err = f.exporter.walk(ctx, f.verifier, stepEntries, f.grow)
	if err == nil && !more {
		err = f.confirm() // it is the last one: nothing says otherwise
	}
	if f.tree.Size() > f.sealed.Size {
		if sealErr := f.seal(ctx); sealErr != nil {
			return false, errors.Join(err, sealErr)
		}
	}
	if err == nil && !more && f.verifier != nil {
		err = f.signAnew(ctx)
	}
	return more, err
}

// grow takes a checked entry, and holds it back until the next one has confirmed it by its link. Where a link does not fit, it is the entry before that was
// changed, or this one: neither is vouched for.
func (f *follower) grow(leaf chain.Hash) error {
	err := f.confirm()
	f.held, f.holds = leaf, true
	return err
}

// confirm appends the entry that was held back to the tree.
func (f *follower) confirm() error {
	if !f.holds {
		return nil
	}
	f.last, f.holds = f.held, false
	return f.tree.Append(f.last, func(full chain.Tile) error {
		f.staged = append(f.staged, store.StoredTile{Level: full.Level, Index: full.Index, Hashes: bytes.Clone(full.Hashes), Root: full.Root})
		return nil
	})
}

// load starts at the vault's checkpoint, which must be signed, and which the store must reproduce.
func (f *follower) load(ctx context.Context) error {
	checkpoint, found, err := f.exporter.ledger.Checkpoint(ctx, f.log)
	if err != nil {
		return err
	}
	switch {
	case checkpoint.Size < f.sealed.Size:
		return fault(f.log, checkpoint.Size, "the vault's checkpoint went back from %d entries to %d", f.sealed.Size, checkpoint.Size)
	case checkpoint.Size == f.sealed.Size && checkpoint.Root != f.sealed.Root:
		return fault(f.log, checkpoint.Size, "the vault's checkpoint of %d entries has become another one", checkpoint.Size)
	}
	if err := f.exporter.lock.check(f.log, checkpoint); err != nil {
		f.exporter.keepPublished(f.log)
		return err
	}
	if !found {
		f.verifier, f.tree = chain.NewVerifier(f.log), chain.NewTree()
		return nil
	}
	entry, err := f.exporter.table.EntryAt(ctx, f.log, checkpoint.Size-1)
	if errors.Is(err, store.ErrNotFound) {
		return fault(f.log, checkpoint.Size-1, "missing, but the vault's checkpoint has %d entries", checkpoint.Size)
	}
	if err != nil {
		return err
	}
	head, err := chain.HeadOf(entry)
	if err != nil {
		return fault(f.log, checkpoint.Size-1, "%v", err)
	}
	if head.Log != f.log || head.Size != checkpoint.Size || head.Leaf != checkpoint.Head {
		return fault(f.log, checkpoint.Size-1, "not the entry of the vault's checkpoint")
	}
	tree, err := f.exporter.loadTree(ctx, checkpoint)
	if err != nil {
		return err
	}
	if err := f.exporter.checkNote(checkpoint); err != nil {
		return err
	}
	f.sealed, f.verifier, f.tree, f.last = checkpoint, chain.NewVerifierAt(head), tree, head.Leaf
	f.exporter.published.know(checkpoint)
	return nil
}

// seal vouches for the tree: it stages the tiles that have become full, signs, and moves the vault's checkpoint. Whoever sees the checkpoint finds the tiles. If
// another exporter was faster, or the outcome is unknown, the next step begins with the vault's checkpoint; what was signed here is then seen by nobody.
func (f *follower) seal(ctx context.Context) error {
	next, err := f.sign()
	if err != nil {
		return err
	}
	if err := f.exporter.table.StageTiles(ctx, f.log, f.staged); err != nil {
		f.forget()
		return err
	}
	f.staged = nil
	swapped, err := f.exporter.ledger.CompareAndSwapCheckpoint(ctx, f.log, f.sealed.Size, next)
	if err != nil || !swapped {
		f.forget()
		return err
	}
	f.sealed = next
	f.exporter.metrics.seals.moved(f.log, next.Size)
	f.exporter.published.offer(next)
	return nil
}

// sign makes the checkpoint of the tree, which was built from checked entries.
func (f *follower) sign() (vault.Checkpoint, error) {
	keys := f.exporter.keys.Load()
	point := chain.Checkpoint{Deployment: f.exporter.ledger.Deployment(), Log: f.log, Size: f.tree.Size(), Root: f.tree.Root()}
	signed, err := point.Sign(keys.signers...)
	if err != nil {
		return vault.Checkpoint{}, fmt.Errorf("sign the checkpoint of %s: %w", f.log, err)
	}
	f.keys = keys
	return vault.Checkpoint{Log: f.log, Size: point.Size, Head: f.last, Root: point.Root, Note: string(signed), At: time.Now()}, nil
}

// signAnew replaces the signatures below the latest checkpoint when the keys have changed. Only what this follower has checked itself is signed.
func (f *follower) signAnew(ctx context.Context) error {
	if f.sealed.Size == 0 || f.keys == f.exporter.keys.Load() || f.tree.Size() != f.sealed.Size {
		return nil
	}
	next, err := f.sign()
	if err != nil || next.Note == f.sealed.Note {
		return err
	}
	if err := f.exporter.ledger.ReplaceNote(ctx, f.sealed, next.Note); err != nil {
		f.keys = nil
		return err
	}
	f.sealed.Note = next.Note
	f.exporter.published.offer(f.sealed)
	return nil
}

// forget makes the next step begin with the vault's checkpoint.
func (f *follower) forget() {
	f.verifier, f.tree, f.holds, f.staged, f.keys = nil, nil, false, nil, nil
}
