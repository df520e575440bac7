package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/agentaudit/agentaudit/internal/ingest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

type logListCommand struct {
	JSON bool `help:"Print the logs as JSON."`
}

// logLine is one log in `log list --json`.
type logLine struct {
	Log            string `json:"log"`
	Size           uint64 `json:"size"`
	Head           string `json:"head"` // leaf hash, hex; empty: no entry
	Epoch          uint32 `json:"epoch"`
	Next           int64  `json:"next"` // Kafka offset at which it goes on
	Closed         bool   `json:"closed"`
	CheckpointSize uint64 `json:"checkpoint_size"` // of the vault's latest checkpoint; 0: none
	Predecessor    string `json:"predecessor,omitempty"`
	Reason         string `json:"reason,omitempty"`  // why it was opened
	Damaged        string `json:"damaged,omitempty"` // what is wrong with its last entry
}

func (c *logListCommand) Run(ctx context.Context, w *world) error {
	lines, err := readLogs(ctx, w)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(lines)
	}
	if len(lines) == 0 {
		_, err = fmt.Fprintln(w.stdout, "there are no logs yet")
		return err
	}
	for _, l := range lines {
		state := "open"
		switch {
		case l.Damaged != "":
			state = "DAMAGED: " + l.Damaged
		case l.Closed:
			state = "closed"
		case l.Size == 0:
			state = "not begun"
		}
		if l.Predecessor != "" {
			state += fmt.Sprintf(", after %s (%s)", l.Predecessor, printable(l.Reason))
		}
		if _, err := fmt.Fprintf(w.stdout, "%-24s %12d entries  next offset %-12d %s\n", l.Log, l.Size, l.Next, state); err != nil {
			return err
		}
	}
	return nil
}

// readLogs joins what the store and the vault know of each log.
func readLogs(ctx context.Context, w *world) ([]logLine, error) {
	systems, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer systems.Close()
	store, vault := systems.Store, systems.Vault

	names, err := store.Logs(ctx)
	if err != nil {
		return nil, err
	}
	checkpoints, err := vault.Checkpoints(ctx)
	if err != nil {
		return nil, err
	}
	generations, err := vault.Generations(ctx)
	if err != nil {
		return nil, err
	}
	lines := make(map[string]*logLine)
	line := func(log string) *logLine {
		if lines[log] == nil {
			lines[log] = &logLine{Log: log}
		}
		return lines[log]
	}
	for _, name := range names {
		l := line(name)
		head, err := store.Head(ctx, name)
		var fault *chain.Fault
		if errors.As(err, &fault) {
			l.Damaged = fault.Reason
			continue
		}
		if err != nil {
			return nil, err
		}
		l.Size, l.Head, l.Epoch, l.Next, l.Closed = head.Size, head.Leaf.String(), head.Epoch, head.Next, head.Closed
	}
	for _, checkpoint := range checkpoints {
		line(checkpoint.Log).CheckpointSize = checkpoint.Size
	}
	for _, g := range generations {
		l := line(g.Log)
		l.Predecessor, l.Reason = g.Predecessor, g.Reason
	}
	all := make([]logLine, 0, len(lines))
	for _, l := range lines {
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b logLine) int { return compareLogs(a.Log, b.Log) })
	return all, nil
}

type logReopenCommand struct {
	Log    string `required:"" help:"The log that ends, such as agent.events/3." placeholder:"L"`
	Reason string `required:"" help:"Why; kept in the vault." placeholder:"R"`
	From   int64  `default:"-1" help:"Kafka offset at which the successor begins. Default: behind the last record up to which the log is whole, or at Kafka's first record if that place is gone." placeholder:"OFFSET"`
	JSON   bool   `help:"Print the successor as JSON."`
}

// Help is printed by `log reopen --help`.
func (logReopenCommand) Help() string {
	return `Ingest stops a partition when Kafka no longer has what comes next (gap), has other records than those that were sealed
(rewind), or when ClickHouse no longer holds what a checkpoint covers (rollback). Find out why first. Then this command ends
the log and begins a successor that names it, and ingest goes on with that within seconds. Nothing is removed, and
nothing can be taken back: a log that is in order is ended too, and there is no need to.`
}

func (c *logReopenCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	topic, _, _, err := chain.ParseLog(c.Log)
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	if sealed := cfg.Ingest.Topics; topic != sealed.Events && topic != sealed.System {
		return fmt.Errorf("--log %s: ingest seals the topics %s and %s only; 'log list' prints their logs", c.Log, sealed.Events, sealed.System)
	}
	systems, err := process.Open(ctx, cfg, kafkaio.Deps{})
	if err != nil {
		return w.running(err)
	}
	defer systems.Close()

	next, err := ingest.Reopen(ctx, ingest.ReopenDeps{Kafka: systems.Kafka, Store: systems.Store, Vault: systems.Vault}, process.LedgerConfig(cfg),
		ingest.Reopening{Log: c.Log, Reason: c.Reason, From: c.From})
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(map[string]any{
			"log": next.Log, "predecessor": next.Predecessor, "predecessor_size": next.PredecessorSize,
			"predecessor_head": next.PredecessorHead.String(), "first_offset": next.FirstOffset,
		})
	}
	_, err = fmt.Fprintf(w.stdout, "%s ended with %d entries; %s goes on at offset %d\n", next.Predecessor, next.PredecessorSize, next.Log, next.FirstOffset)
	return err
}
