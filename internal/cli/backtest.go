package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/internal/alertview"
	"github.com/agentaudit/agentaudit/internal/backtest"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
)

type backtestCommand struct {
	File   string `arg:"" optional:"" help:"Events as JSON Lines, as for emit; - is standard input. Default: the events that are stored."`
	Rules  string `help:"With the rules of this file. Default: detector.rules_file, or the built-in rules." type:"path" placeholder:"FILE"`
	Since  string `help:"Print what would have been alerted since then: 30m, 24h, 7d, 2026-11-20 or 2026-11-20T21:00:00Z. What is usual is learned from the 28 days before." placeholder:"D"`
	Until  string `help:"Look at nothing that was recorded then or later." placeholder:"D"`
	Tenant string `help:"Look at this tenant only." placeholder:"T"`
	JSON   bool   `help:"Print the incidents as a JSON array; the summary goes to standard error."`
}

// Help is printed by `backtest --help`.
func (backtestCommand) Help() string {
	return `Plays events of the past to the detector, in event time, and prints what it would have alerted. Nothing is sent and nothing is stored.

With FILE no deployment is needed; if one is given, its detector.* and scan.* are used. A line that is no event is refused with its number. Users stand under
pseudonyms that are hashes of tenant and user.

Without FILE it reads the sealed events of a deployment, with the findings that were sealed with them. Tokens in entries (docs/configuration.md, ingest.fields) have
no text that a rule could compare, and where addresses are tokens no network is new. Nothing is decrypted, and the vault is not asked.

Feedback (snoozed, false positive) is not taken into account. Incidents are no failure: the exit code is 0.`
}

func (c *backtestCommand) Run(ctx context.Context, w *world) error {
	cfg := config.DefaultConfig()
	if c.File == "" || w.flags.Given(w.environ) {
		var err error
		if cfg, err = w.config(); err != nil {
			return err
		}
	}
	asked, err := c.config(cfg)
	if err != nil {
		return err
	}
	var done atomic.Uint64
	var result *backtest.Result
	if c.File == "" {
		result, err = stored(ctx, w, cfg, asked, &done)
	} else {
		result, err = c.lines(ctx, w, cfg, asked, &done)
	}
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w.stdout)
	if c.JSON {
		err = errors.Join(printIncidentsJSON(out, result.Incidents), printBacktestSummary(w.stderr, &result.Summary))
	} else {
		err = errors.Join(printIncidents(out, result.Incidents), printBacktestSummary(out, &result.Summary))
	}
	return errors.Join(err, out.Flush())
}

// config reads the flags.
func (c *backtestCommand) config(cfg config.Config) (backtest.Config, error) {
	asked := backtest.Config{Engine: process.EngineConfig(cfg), Tenant: c.Tenant}
	now := time.Now()
	var err error
	if asked.Since, err = parseSince(c.Since, now); err != nil {
		return asked, err
	}
	if asked.Until, err = parseWhen("--until", c.Until, now); err != nil {
		return asked, err
	}
	if !asked.Since.IsZero() && !asked.Until.IsZero() && !asked.Since.Before(asked.Until) {
		return asked, errors.New("--until must be later than --since")
	}
	path := string(cfg.Detector.RulesFile)
	if c.Rules != "" {
		path = c.Rules
	}
	if path == "" {
		asked.Rules, err = rules.BuiltIn()
	} else {
		asked.Rules, err = rules.Load(path)
	}
	var mistakes rules.Mistakes
	if errors.As(err, &mistakes) {
		err = fmt.Errorf("the rules have mistakes, see 'agentaudit alerts rules --check FILE'; the first one: %s", printable(mistakes[0].String()))
	}
	return asked, err
}

func (c *backtestCommand) lines(ctx context.Context, w *world, cfg config.Config, asked backtest.Config, done *atomic.Uint64) (*backtest.Result, error) {
	scanner, err := process.NewScanner(cfg)
	if err != nil {
		return nil, err
	}
	in := w.stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	defer progress.Show(w.stderr, "%d events read …\n", done)()
	return backtest.Lines(ctx, asked, scanner, in, time.Now(), done)
}

func stored(ctx context.Context, w *world, cfg config.Config, asked backtest.Config, done *atomic.Uint64) (_ *backtest.Result, err error) {
	from, err := process.OpenStore(ctx, cfg)
	if err != nil {
		return nil, w.running(err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	defer progress.Show(w.stderr, "%d entries read …\n", done)()
	return backtest.Stored(ctx, asked, from, cfg.Ingest.Topics.Events, done)
}

func printIncidentsJSON(w io.Writer, list []anomaly.Incident) error {
	lines := make([]alertview.Alert, len(list))
	for i := range list {
		var err error
		if lines[i], err = alertview.OfIncident(&list[i]); err != nil {
			return err
		}
	}
	return json.NewEncoder(w).Encode(lines)
}

func printIncidents(w io.Writer, list []anomaly.Incident) error {
	for i := range list {
		in := &list[i]
		who := in.Subject.String()
		if in.Kind != anomaly.EntitySubject {
			who = strings.TrimSpace(string(in.Kind) + " " + in.Entity)
		}
		note := ""
		if in.Summarised {
			note = "  (summarised)"
		}
		line := fmt.Sprintf("%s  %-8s  %s/%s  %s  %d events%s", in.Time.Format(time.RFC3339), in.Severity, in.Tenant, who, in.Title, in.EventCount, note)
		if _, err := fmt.Fprintln(w, printable(line)); err != nil {
			return err
		}
		for _, s := range in.Signals {
			if _, err := fmt.Fprintf(w, "    %s\n", printable(fmt.Sprintf("%s: expected %s, seen %s", s.Name, s.Expected, s.Observed))); err != nil {
				return err
			}
		}
	}
	return nil
}

func printBacktestSummary(w io.Writer, s *backtest.Summary) error {
	_, err := fmt.Fprintf(w, "%d events of %d users on %d days; incidents: %d critical, %d high, %d medium, %d low, %.4f a user-day; %d more would have been summarised\n",
		s.Events, s.Users, s.Days, s.BySeverity[anomaly.Critical], s.BySeverity[anomaly.High], s.BySeverity[anomaly.Medium], s.BySeverity[anomaly.Low], s.PerUserDay(), s.Summarised)
	if err == nil && s.Rejected > 0 {
		_, err = fmt.Fprintf(w, "%d entries hold no event that this version reads; they were left out\n", s.Rejected)
	}
	return err
}
