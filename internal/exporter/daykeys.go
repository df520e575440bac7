package exporter

import (
	"context"
	"time"
)

// expireEvery is how often day keys are looked through. They are kept for whole days, so an hour more or less does not matter.
const expireEvery = time.Hour

// expireDayKeys destroys the keys of rejected records whose time has come, at once and then every hour, until ctx ends.
func (e *Exporter) expireDayKeys(ctx context.Context) error {
	for {
		pause := expireEvery
		destroyed, err := e.deps.Vault.DestroyDayKeys(ctx, firstDayKept(time.Now(), e.cfg.RejectedKeepDays))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			e.failing("day keys cannot be destroyed, trying again", err)
			pause = time.Minute
		case destroyed > 0:
			e.metrics.destroyed.Add(float64(destroyed))
			e.log.Info("destroyed the keys of rejected records", "days", destroyed, "kept_days", e.cfg.RejectedKeepDays)
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
	}
}

// firstDayKept returns the earliest day (UTC) whose rejected records stay readable: a record of any moment of a day is kept for keepDays at least.
func firstDayKept(now time.Time, keepDays int) string {
	return now.UTC().AddDate(0, 0, -keepDays).Format(time.DateOnly)
}
