package privacy

import (
	"context"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
)

// compareEvery is how often the vault is asked whether it is still what it was.
const compareEvery = time.Second

// Watch compares the vault with the log again whenever the vault went back in time, until ctx ends: a backup that is restored under running processes brings back
// who was erased since, and takes the author's key along if that is younger.
func (w *Worker) Watch(ctx context.Context) error {
	follower := vault.NewFollower(w.deps.Vault)
	for {
		// While the vault does not answer nobody is sealed or shown either. The first answer is no: then it was not followed from when it was compared last.
		if continues, err := follower.Continues(ctx); err == nil && !continues {
			if err := w.AwaitReplay(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
		if sleepUntil(ctx, time.Now().Add(compareEvery)) != nil {
			return nil
		}
	}
}
