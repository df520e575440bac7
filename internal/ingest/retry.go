package ingest

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// retry repeats step with growing pauses until it succeeds or ctx ends.
func retry(ctx context.Context, step func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
	for {
		err := step()
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		}
	}
}
