package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/vault"
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

// errVault is a failure of the vault that asking again does not mend: a damaged row, a
// key that was destroyed, another keyring. The partition stops, for all to see.
var errVault = errors.New("the vault does not give what sealing needs")

// patience waits for the vault while it cannot be reached: nothing may be sealed
// without it. Safe for concurrent use.
type patience struct {
	log     *slog.Logger
	retries prometheus.Counter
}

// ask repeats step until the vault answers or ctx ends. What the vault answers is
// final, and wrapped in errVault if it is a failure.
func (p patience) ask(ctx context.Context, what string, step func() error) error {
	var final error
	err := retry(ctx, func() error {
		err := step()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case errors.Is(err, vault.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
			p.retries.Inc()
			p.log.Warn("vault does not answer, sealing waits", "for", what, "error", err)
			return err
		}
		final = fmt.Errorf("%w: %s: %w", errVault, what, err)
		return nil
	})
	return errors.Join(err, final)
}
