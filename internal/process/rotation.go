package process

import (
	"context"
	"log/slog"
	"time"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/vault"
)

const (
	// rotationLook is how often the age of the key-encryption key is looked at.
	rotationLook = 10 * time.Minute
	// rotationGrace is how much later than its time a key may be destroyed: the next look, and as long again for rewrapping many people.
	rotationGrace = time.Hour
)

// RotateKeys replaces the vault's key-encryption key when it has reached the configured age, until ctx ends. What fails is tried again.
func RotateKeys(c config.Config, v *vault.Vault, log *slog.Logger) func(context.Context) error {
	return func(ctx context.Context) error {
		if c.Keys.RotateEvery == 0 {
			return nil
		}
		tick := time.NewTicker(rotationLook)
		defer tick.Stop()
		for {
			done, err := v.Rotate(ctx, c.Keys.RotateEvery)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				log.Error("the vault's key-encryption key could not be replaced, trying again", "again_in", rotationLook, "error", err)
			case len(done.Retired) > 0:
				log.Info("the vault's key-encryption key was replaced; backups from before do not open any more", "generation", done.Added, "subjects", done.Rewrapped, "retired", done.Retired)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
}
