package privacy

import (
	"context"
	"time"
)

// sweepEvery is how often what is not needed any more is removed from the vault.
const sweepEvery = 10 * time.Minute

// sweep removes the hashes of people who were erased, once no record from before can arrive any more, until ctx ends. It also makes up for what somebody who read
// from the vault's files has kept in them.
func (w *Worker) sweep(ctx context.Context) error {
	for {
		pause := w.sweepEvery
		gone, err := w.deps.Vault.ExpireSuppressions(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.deps.Log.Warn("what is not needed any more cannot be removed from the vault, trying again", "error", err)
			pause = min(pause, time.Minute)
		case gone > 0:
			w.deps.Log.Info("hashes of people who were erased are not needed any more and were removed", "people", gone)
		}
		if sleepUntil(ctx, time.Now().Add(pause)) != nil {
			return nil
		}
	}
}
