package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/alertview"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/store"
)

type alertsListCommand struct {
	Tenant string `help:"Alerts of this tenant." placeholder:"T"`
	Since  string `help:"Alerts that were raised since then: 30m, 24h, 7d, 2026-11-20 or 2026-11-20T21:00:00Z." placeholder:"D"`
	Limit  int    `default:"100" help:"Print this many at most, the latest; 1 to 10000."`
	JSON   bool   `help:"Print a JSON array."`
}

// Help is printed by `alerts --help`.
func (alertsListCommand) Help() string {
	return `Prints what the detector has noticed, as it stands in the log, in its latest revision. The status is what people have said of it
(acknowledged, snoozed, false_positive), or else how far it is: provisional, final, withdrawn (it was nothing, with what came late). An alert names pseudonyms;
'agentaudit events --subject' leads on. Entries are event ids: 'agentaudit prove ID' proves that they stand in the log.`
}

func (c *alertsListCommand) Run(ctx context.Context, w *world) error {
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	if err := checkLimit(c.Limit, store.MaxAlerts); err != nil {
		return err
	}
	cfg, err := w.config()
	if err != nil {
		return err
	}
	s, err := process.OpenStore(ctx, cfg)
	if err != nil {
		return w.running(err)
	}
	defer s.Close()
	found, err := s.Alerts(ctx, store.AlertFilter{Tenant: c.Tenant, Since: since, Limit: c.Limit})
	if err != nil {
		return err
	}
	if len(found) == c.Limit {
		_, _ = fmt.Fprintf(w.stderr, "these are the latest %d; there may be more (--limit)\n", c.Limit)
	}
	out := bufio.NewWriter(w.stdout)
	if c.JSON {
		lines := make([]alertview.Alert, len(found))
		for i := range found {
			lines[i] = alertview.Of(&found[i])
		}
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(lines); err != nil {
			return err
		}
		return out.Flush()
	}
	if len(found) == 0 {
		_, _ = fmt.Fprintln(w.stderr, "no alerts")
	}
	for i := range found {
		line := alertview.Of(&found[i])
		about := line.Kind
		switch {
		case line.Subject != "":
			about = line.Subject
		case line.Entity != "":
			about += " " + line.Entity
		}
		head := fmt.Sprintf("%s  %s  %-8s  %s  %s  %s", line.ID, line.Time.Format(time.RFC3339), line.Severity, line.Tenant, about, line.Status)
		body := fmt.Sprintf("    %s (events: %d, cost: %.2f USD)", line.Title, line.EventCount, line.CostUSD)
		if _, err := fmt.Fprintf(out, "%s\n%s\n", printable(head), printable(body)); err != nil {
			return err
		}
	}
	return out.Flush()
}
