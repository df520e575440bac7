package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

type logPruneCommand struct {
	Before   string `required:"" help:"Drop what was sealed before this month. The months of the logs' last entries stay in any case." placeholder:"YYYY-MM"`
	Contents bool   `help:"Drop the encrypted contents only; the entries stay."`
	Log      string `help:"Of this log only, such as agent.events/3." placeholder:"L"`
	Reason   string `default:"by hand" help:"Why; it becomes part of the log, so name no person." placeholder:"R"`
	Yes      bool   `help:"Do it. Without this flag the command says what would go."`
	JSON     bool   `help:"Print what goes as JSON."`
}

// Help is printed by `log prune --help`.
func (logPruneCommand) Help() string {
	return `Drops whole months of logs. First everything is checked, and a record of what was there is signed, sealed and covered by a
checkpoint; then the rows go. What remains verifies as before, also with checkpoints and proofs from before: the hashes of
the entries that went are kept. Ingest and exporter must be running, and the ClickHouse user (retention.clickhouse_user)
must be allowed to delete. Entries that involve somebody under a legal hold, and what is behind them, stay. Interrupted, it goes on when it is run again. Nothing brings the entries back.`
}

// prunedLine is one cut in `log prune --json`.
type prunedLine struct {
	Log     string `json:"log"`
	What    string `json:"what"`
	Behind  uint64 `json:"behind"`  // the first entry that stays as it is
	Entries uint64 `json:"entries"` // how many are concerned
	Done    bool   `json:"done"`
	Held    string `json:"held,omitempty"` // the legal hold that keeps what is old from entry behind on
}

func (c *logPruneCommand) Run(ctx context.Context, w *world) error {
	before, err := time.Parse("2006-01", c.Before)
	if err != nil {
		return errors.New("--before: a month such as 2026-05 expected")
	}
	if before.After(time.Now()) {
		return fmt.Errorf("--before %s: the present month and later ones are never dropped", c.Before)
	}
	cfg, err := w.config()
	if err != nil {
		return err
	}
	systems, err := process.Open(ctx, cfg, kafkaio.Deps{})
	if err != nil {
		return w.running(err)
	}
	defer systems.Close()
	pruner, done, err := process.OpenPruner(ctx, cfg, systems, slog.New(slog.NewTextHandler(w.stderr, nil)))
	if err != nil {
		return err
	}
	defer func() { _ = done() }() // it has nothing to say
	if c.Yes {
		if err := pruner.Resume(ctx); err != nil {
			return err
		}
	}
	what := chain.PrunedEntries
	if c.Contents {
		what = chain.PrunedContents
	}
	cuts, err := pruner.Plan(ctx, what, chain.EpochOf(before))
	if err != nil {
		return err
	}
	lines := []prunedLine{}
	for _, cut := range cuts {
		if c.Log != "" && cut.Log != c.Log {
			continue
		}
		line := prunedLine{Log: cut.Log, What: cut.What, Behind: cut.Behind, Entries: cut.Entries, Done: c.Yes && cut.Entries > 0}
		if cut.Held != nil {
			line.Held = (&vault.HeldError{Hold: *cut.Held}).Error()
		}
		if line.Done {
			if _, err := pruner.Prune(ctx, cut, c.Reason); err != nil {
				return err
			}
		}
		if !c.JSON {
			if err := c.print(w, line); err != nil {
				return err
			}
		}
		lines = append(lines, line)
	}
	switch {
	case c.JSON:
		return json.NewEncoder(w.stdout).Encode(lines)
	case len(lines) == 0:
		_, err = fmt.Fprintf(w.stdout, "nothing was sealed before %s that can go\n", c.Before)
	case !c.Yes:
		_, err = fmt.Fprintln(w.stdout, "nothing was dropped; --yes does it")
	}
	return err
}

func (c *logPruneCommand) print(w *world, line prunedLine) error {
	verb := "would go"
	if line.Done {
		verb = "are gone"
	}
	var err error
	if line.Entries > 0 {
		_, err = fmt.Fprintf(w.stdout, "%-24s %12d %s %s, up to entry %d\n", line.Log, line.Entries, line.What, verb, line.Behind-1)
	}
	if err == nil && line.Held != "" {
		_, err = fmt.Fprintf(w.stdout, "%-24s kept from entry %d on by %s\n", line.Log, line.Behind, printable(line.Held))
	}
	return err
}
