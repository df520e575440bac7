package cli

import (
	"context"
	"time"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/up"
)

// What `up` starts besides our processes, each in a process of its own: the embedded engines, whose configuration
// comes over standard input, and the sample traffic.
type (
	brokerChildCommand struct{}
	engineChildCommand struct{}
	sampleChildCommand struct {
		History time.Duration
	}
)

func (brokerChildCommand) Run(ctx context.Context, w *world) error {
	return failing(broker.Child(ctx, w.stdin, w.stdout))
}

func (engineChildCommand) Run(ctx context.Context, w *world) error {
	return failing(engine.Child(ctx, w.stdin, w.stdout))
}

func (c sampleChildCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	log, err := telemetry.NewLogger(telemetry.LogConfig{Level: cfg.Log.Level, Format: cfg.Log.Format}, "sample", w.stderr)
	if err != nil {
		return err
	}
	return failing(up.StreamSample(ctx, cfg, c.History, log))
}

// failing marks the error of a child as one that starting it again may mend.
func failing(err error) error {
	if err == nil {
		return nil
	}
	return &childError{err}
}

type childError struct{ error }

func (e *childError) Unwrap() error { return e.error }
