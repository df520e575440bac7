package exporter

import (
	"context"
	"errors"
	"fmt"

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
	faults := 0
	wait := newBackoff()
	for {
		err := e.recheckOnce(ctx, log)
		pause := e.cfg.RecheckEvery
		var fault *chain.Fault
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &fault):
			if faults++; faults >= faultLooks {
				return fault
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

func (e *Exporter) recheckOnce(ctx context.Context, log string) error {
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
	verifier := chain.NewVerifier(log)
	err = e.deps.Store.Scan(ctx, log, 0, func(seq uint64, entry []byte, leaf chain.Hash) error {
		// One entry beyond the checkpoint is looked at, because it may be a second one at the checkpoint's last seq.
		if verifier.Head().Size == checkpoint.Size && seq >= checkpoint.Size {
			return errEnough
		}
		return verifier.Check(seq, entry, leaf)
	})
	head := verifier.Head()
	e.metrics.checked.Add(float64(head.Size))
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return err
	case head.Size < checkpoint.Size:
		return &chain.Fault{Log: log, Seq: head.Size, Reason: fmt.Sprintf("missing, but the vault's checkpoint has %d entries", checkpoint.Size)}
	case head.Leaf != checkpoint.Head:
		return &chain.Fault{Log: log, Seq: head.Size - 1, Reason: "not the entry of the vault's checkpoint"}
	}
	return nil
}
