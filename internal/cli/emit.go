package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/internal/emit"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/internal/report"
)

type emitCommand struct {
	File string `arg:"" optional:"" help:"JSON Lines, one event a line. Default: standard input." type:"path"`
	Raw  bool   `help:"Send every line as it is, without a check: what is not an event is sealed as a rejected record."`
	JSON bool   `help:"Print the result as JSON."`
}

// Help is printed by `emit --help`.
func (emitCommand) Help() string {
	return `Sends events (agentaudit.event/v1, see docs/events.md) to Kafka, keyed by tenant and user, and returns when all replicas have
them. Lines that are not events are named on standard error, are not sent, and make the exit code 1. Sending a file again is
safe as far as the log goes, but each record becomes an entry of its own.`
}

// emitResult is what --json prints.
type emitResult struct {
	Sent     int64          `json:"sent"`
	Refused  int64          `json:"refused"`
	Bytes    int64          `json:"bytes"`
	Refusals []emit.Refusal `json:"refusals"` // the first ones
}

func (c *emitCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	in := w.stdin
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close()
		in = file
	}
	kafka, err := process.OpenKafka(cfg, kafkaio.Deps{})
	if err != nil {
		return err
	}
	defer kafka.Close()

	var sent atomic.Uint64
	stopProgress := progress.Show(w.stderr, "%d events sent …\n", &sent)
	lines := emit.Config{
		Kafka: kafka, Topic: cfg.Ingest.Topics.Events,
		Progress: func(r emit.Result) { sent.Store(uint64(r.Sent)) },
	}
	if c.Raw {
		lines.Invalid = emit.SendRaw
	}
	result, err := emit.Lines(ctx, in, lines)
	stopProgress()
	if err != nil {
		return w.running(err)
	}
	if err := c.print(w.stdout, w.stderr, result); err != nil {
		return err
	}
	if result.Refused > 0 {
		return errNo
	}
	return nil
}

func (c *emitCommand) print(stdout, stderr io.Writer, result emit.Result) error {
	if c.JSON {
		refusals := result.Refusals
		if refusals == nil {
			refusals = []emit.Refusal{}
		}
		return json.NewEncoder(stdout).Encode(emitResult{result.Sent, result.Refused, result.Bytes, refusals})
	}
	for _, refusal := range result.Refusals {
		if _, err := fmt.Fprintf(stderr, "not sent: %s\n", printable(refusal.String())); err != nil {
			return err
		}
	}
	if more := result.Refused - int64(len(result.Refusals)); more > 0 {
		if _, err := fmt.Fprintf(stderr, "not sent: %d lines more\n", more); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(stdout, "sent %s\n", report.Count(uint64(result.Sent), "event", "events"))
	return err
}
