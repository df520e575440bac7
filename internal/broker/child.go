package broker

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/agentaudit/agentaudit/internal/child"
)

// Child is Run as a child process: see package child for what goes over stdin and stdout. Its log
// goes to standard error, one JSON object a line.
func Child(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	return child.Serve(ctx, stdin, stdout, func(ctx context.Context, cfg Config, ready func(address string)) error {
		cfg.Ready = ready
		cfg.Log = slog.New(slog.NewJSONHandler(os.Stderr, nil)).With(slog.String("component", "broker"))
		return Run(ctx, cfg)
	})
}
