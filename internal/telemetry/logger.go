// Package telemetry is how a process shows what it does: its log, its metrics,
// its health, and which version it is. Nothing in it is global.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
)

// LogConfig is what NewLogger needs.
type LogConfig struct {
	Level  string // debug, info, warn or error
	Format string // json or text
}

// NewLogger returns a logger whose every line names the process. It is safe for concurrent use.
// What is logged names logs, offsets and pseudonyms, never content, identities or keys.
func NewLogger(cfg LogConfig, process string, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler
	switch cfg.Format {
	case "json":
		handler = slog.NewJSONHandler(w, options)
	case "text":
		handler = slog.NewTextHandler(w, options)
	default:
		return nil, fmt.Errorf("log format %q is neither json nor text", cfg.Format)
	}
	return slog.New(handler).With("process", process), nil
}
