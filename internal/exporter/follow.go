package exporter

import (
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
	// stepEntries is how many entries are checked before the checkpoint moves, when there are many: some tenths of a second of work.
	stepEntries = 200_000

	// faultLooks is how often a fault must be seen, from the checkpoint on and PollEvery apart, before it is one: a replica of ClickHouse that has not
	// received all parts shows gaps that pass.
	faultLooks = 3
)

// followLog follows one log, and checks what lies behind its checkpoint again and again, until ctx ends or the log is found bad. Then the log is left
// alone: its checkpoint stays at what was good. Other logs go on.
func (e *Exporter) followLog(ctx context.Context, log string) error {
	group, groupCtx := errgroup.WithContext(ctx)
	f := &follower{exporter: e, log: log, hasher: chain.NewHasher(), caughtUp: make(chan struct{})}
	group.Go(func() error { return f.run(groupCtx) })                         // ends with groupCtx or a fault
	group.Go(func() error { return e.recheckLog(groupCtx, log, f.caughtUp) }) // ends with groupCtx or a fault
	err := group.Wait()
	var fault *chain.Fault
	if errors.As(err, &fault) {
		e.metrics.seals.behind(log)
		e.metrics.failures.Inc()
		e.log.Error("verification failed: the log is no longer followed and its checkpoint stays; run agentaudit verify and see who changed the table",
			"severity", "critical", "log", fault.Log, "seq", fault.Seq, "reason", fault.Reason)
		return nil
	}
	return ignoreEnd(ctx, err)
}

// follower moves the checkpoint of one log. It belongs to one goroutine.
type follower struct {
	exporter *Exporter
	log      string
	hasher   *chain.Hasher

	sealed   vault.Checkpoint // the latest one known; zero Size: none
	verifier *chain.Verifier  // at sealed or behind it; nil: to be made from the vault's checkpoint
	caughtUp chan struct{}    // closed once the checkpoint covered all entries
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
			f.verifier = nil
			if faults++; faults >= faultLooks {
				return fault
			}
		case err != nil:
			f.exporter.metrics.seals.behind(f.log)
			f.verifier = nil
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

// errEnough ends a scan early.
var errEnough = errors.New("enough entries for one step")

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
	err = f.check(ctx)
	if more = errors.Is(err, errEnough); more {
		err = nil
	}
	if head := f.verifier.Head(); head.Size > f.sealed.Size {
		if sealErr := f.seal(ctx, head); sealErr != nil {
			return false, errors.Join(err, sealErr)
		}
	}
	return more, err
}

// load starts at the vault's checkpoint, which the store must reproduce.
func (f *follower) load(ctx context.Context) error {
	checkpoint, found, err := f.exporter.deps.Vault.Checkpoint(ctx, f.log)
	if err != nil {
		return err
	}
	if checkpoint.Size < f.sealed.Size {
		return f.fault(checkpoint.Size, fmt.Sprintf("the vault's checkpoint went back from %d entries to %d", f.sealed.Size, checkpoint.Size))
	}
	if !found {
		f.verifier = chain.NewVerifier(f.log)
		return nil
	}
	entry, err := f.exporter.deps.Store.EntryAt(ctx, f.log, checkpoint.Size-1)
	if errors.Is(err, store.ErrNotFound) {
		return f.fault(checkpoint.Size-1, fmt.Sprintf("missing, but the vault's checkpoint has %d entries", checkpoint.Size))
	}
	if err != nil {
		return err
	}
	head, err := chain.HeadOf(entry)
	if err != nil {
		return f.fault(checkpoint.Size-1, err.Error())
	}
	if head.Log != f.log || head.Size != checkpoint.Size || head.Leaf != checkpoint.Head {
		return f.fault(checkpoint.Size-1, "not the entry of the vault's checkpoint")
	}
	f.sealed, f.verifier = checkpoint, chain.NewVerifierAt(head)
	return nil
}

// check runs the verifier over what is behind its head. The scan begins with the head's own entry: if that is gone or another one, so is what was
// vouched for.
func (f *follower) check(ctx context.Context) error {
	head := f.verifier.Head()
	anchored := head.Size == 0
	checked := 0
	defer func() { f.exporter.metrics.checked.Add(float64(checked)) }()
	err := f.exporter.deps.Store.Scan(ctx, f.log, max(head.Size, 1)-1, func(seq uint64, entry []byte, leaf chain.Hash) error {
		if !anchored {
			if seq != head.Size-1 {
				return f.missing(head)
			}
			if leaf != head.Leaf || f.hasher.Leaf(entry) != head.Leaf {
				return f.fault(seq, "no longer the entry that was checked")
			}
			anchored = true
			return nil
		}
		if err := f.verifier.Check(seq, entry, leaf); err != nil {
			return err
		}
		if checked++; checked == stepEntries {
			return errEnough
		}
		return nil
	})
	if err == nil && !anchored {
		return f.missing(head)
	}
	return err
}

func (f *follower) missing(head chain.Head) error {
	return f.fault(head.Size-1, fmt.Sprintf("missing, but %d entries were checked before", head.Size))
}

func (f *follower) fault(seq uint64, reason string) error {
	return &chain.Fault{Log: f.log, Seq: seq, Reason: reason}
}

// seal moves the vault's checkpoint to head. If another exporter was faster, or the outcome is unknown, the next step begins with the vault's checkpoint.
func (f *follower) seal(ctx context.Context, head chain.Head) error {
	next := vault.Checkpoint{Log: f.log, Size: head.Size, Head: head.Leaf, At: time.Now()}
	swapped, err := f.exporter.deps.Vault.CompareAndSwapCheckpoint(ctx, f.log, f.sealed.Size, next)
	if err != nil || !swapped {
		f.verifier = nil
		return err
	}
	f.sealed = next
	f.exporter.metrics.seals.moved(f.log, head.Size)
	return nil
}
