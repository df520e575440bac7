package exporter

import (
	"context"
	"errors"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
)

// expireEvery is how often day keys are looked through. They are kept for whole days, so an hour more or less does not matter. The vault's protection against
// a clock that runs ahead counts on it: with each call it believes one day more.
const expireEvery = time.Hour

// expireDayKeys destroys the keys of rejected records whose time has come, at once and then every hour, until ctx ends.
func (e *Exporter) expireDayKeys(ctx context.Context) error {
	for {
		if sleep(ctx, e.destroyDayKeys(ctx)) != nil {
			return nil
		}
	}
}

// destroyDayKeys destroys what is due, and returns how long to wait before the next time.
func (e *Exporter) destroyDayKeys(ctx context.Context) time.Duration {
	destroyed, err := e.deps.Vault.DestroyDayKeys(ctx, firstDayKept(time.Now(), e.cfg.RejectedKeepDays))
	switch {
	case ctx.Err() != nil:
		return 0
	case errors.Is(err, vault.ErrClock):
		// Nothing goes until the clock is right, or the vault has caught up with it after a time in which nothing ran.
		e.failing("day keys are not destroyed, trying again in an hour", err)
	case err != nil:
		e.failing("day keys cannot be destroyed, trying again", err)
		return time.Minute
	case destroyed > 0:
		e.metrics.destroyed.Add(float64(destroyed))
		e.log.Info("destroyed the keys of rejected records", "days", destroyed, "kept_days", e.cfg.RejectedKeepDays)
	}
	return expireEvery
}

// firstDayKept returns the earliest day (UTC) whose rejected records stay readable: a record of any moment of a day is kept for keepDays at least.
func firstDayKept(now time.Time, keepDays int) string {
	return now.UTC().AddDate(0, 0, -keepDays).Format(time.DateOnly)
}
