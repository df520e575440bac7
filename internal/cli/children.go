package cli

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/engine"
)

// What `up` starts: the embedded engines, each in a process of its own. Their configuration comes over standard input.
type (
	brokerChildCommand struct{}
	engineChildCommand struct{}
)

func (brokerChildCommand) Run(ctx context.Context, w *world) error {
	return broker.Child(ctx, w.stdin, w.stdout)
}

func (engineChildCommand) Run(ctx context.Context, w *world) error {
	return engine.Child(ctx, w.stdin, w.stdout)
}
