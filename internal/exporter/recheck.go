package exporter

import (
	"context"
	"errors"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// recheckLog checks a log from its first entry to its checkpoint, again and again, until ctx ends or a *chain.Fault was seen faultLooks times. Following
// alone would never look at an old row again. It begins when following has caught up: what is new comes first.
func (e *Exporter) recheckLog(ctx context.Context, log string, caughtUp <-chan struct{}) error {
	select {
	case <-caughtUp:
	case <-ctx.Done():
		return nil
	}
	e.metrics.scrubs.awaited(log)
	faults := 0
	wait := newBackoff()
	for {
		speed := e.metrics.scrubs.paced
		if faults > 0 {
			speed = unpaced // the alarm waits for nothing but another look
		}
		err := e.recheckOnce(ctx, log, speed)
		pause := e.cfg.RecheckEvery
		var bad *chain.Fault
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &bad):
			if faults++; faults >= faultLooks {
				e.metrics.scrubs.givenUp(log)
				return bad
			}
			pause = e.cfg.PollEvery
		case err != nil:
			e.failing("checking a log anew is interrupted, trying again", err, "log", log)
			pause = wait.NextBackOff()
		default:
			faults = 0
			wait.Reset()
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// recheckOnce makes one pass, at the speed that is given for a log and its size.
func (e *Exporter) recheckOnce(ctx context.Context, log string, speed func(log string, size uint64) pace) error {
	select {
	case e.recheck <- struct{}{}:
		defer func() { <-e.recheck }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	checkpoint, found, err := e.deps.Vault.Checkpoint(ctx, log)
	if err != nil || !found {
		return err // without a checkpoint there is nothing that could have been changed since
	}
	if err := e.checkWhole(ctx, checkpoint, scrubStep(e.cfg.RecheckRate), speed(log, checkpoint.Size)); err != nil {
		return err
	}
	e.metrics.scrubs.shown(log, checkpoint.Size, checkpoint.Size)
	e.metrics.scrubs.ended(log)
	e.metrics.rechecked.WithLabelValues(log).Set(float64(time.Now().Unix()))
	return nil
}

// checkWhole checks all entries below a checkpoint, step of them in a query when before allows it, the tiles over them, and that both are what the checkpoint
// vouches for. Of entries that were pruned it checks the tiles and the record.
func (e *Exporter) checkWhole(ctx context.Context, checkpoint vault.Checkpoint, step uint64, before pace) error {
	pruned, err := e.pruned(ctx, checkpoint.Log)
	if err != nil {
		return err
	}
	verifier, tree := chain.NewVerifier(checkpoint.Log), chain.NewTree()
	tiles := e.deps.Store.NewTileChecker(checkpoint.Log)
	w := e.newWalk(verifier, func(leaf chain.Hash) error {
		return tree.Append(leaf, func(full chain.Tile) error { return tiles.Check(ctx, full) })
	})
	w.Pruned, w.Tree = pruned, tree
	for more := true; more; {
		done := verifier.Head().Size
		left := checkpoint.Size - done
		if left == 0 {
			break
		}
		if err := before(ctx, done, min(left, step)); err != nil {
			return err
		}
		if more, err = w.Step(ctx, min(left, step)); err != nil {
			return err
		}
		e.metrics.scrubs.checked.Add(float64(verifier.Head().Size - done))
	}
	head := verifier.Head()
	switch {
	case head.Size < checkpoint.Size:
		return fault(checkpoint.Log, head.Size, "missing, but the vault's checkpoint has %d entries", checkpoint.Size)
	case head.Leaf != checkpoint.Head:
		return fault(checkpoint.Log, head.Size-1, "not the entry of the vault's checkpoint")
	case tree.Root() != checkpoint.Root:
		return fault(checkpoint.Log, head.Size-1, "the entries do not make the root of the vault's checkpoint")
	}
	// Looks once more at the last entry, beside which there may be a second one.
	_, err = e.walk(ctx, verifier, 1, func(chain.Hash) error { return nil })
	return err
}

// pruned returns the record of what was dropped of a log; nil: nothing was.
func (e *Exporter) pruned(ctx context.Context, log string) (*chain.Pruned, error) {
	stored, _, err := e.deps.Vault.LatestPrunes(ctx, log)
	if err != nil || stored == nil {
		return nil, err
	}
	var pruned chain.Pruned
	bad, err := e.openSigned(func(known note.Verifiers) (err error) {
		pruned, err = stored.Open(e.deps.Vault.Deployment(), known)
		return err
	})
	if err != nil {
		return nil, err
	}
	if bad != nil {
		return nil, fault(log, chain.PrunedFrom, "the vault's prune record is not good: %v", bad)
	}
	return &pruned, nil
}
