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
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// gdprBreachCommands are the commands about breaches of personal data (GDPR Art. 33 and 34).
type gdprBreachCommands struct {
	Open   gdprBreachOpenCommand   `cmd:"" help:"Open a breach: say which entries it affects, and let the time run."`
	List   gdprBreachListCommand   `cmd:"" help:"List the breaches and how much time is left."`
	Status gdprBreachStatusCommand `cmd:"" help:"Print what a breach affects now, and whom."`
	Notice gdprBreachNoticeCommand `cmd:"" help:"Note that the authority or the people were told."`
	Close  gdprBreachCloseCommand  `cmd:"" help:"Close a breach and print its report."`
}

type gdprBreachOpenCommand struct {
	Reason       string `required:"" help:"What happened; it stands in the log, so name nobody." placeholder:"R"`
	Since        string `help:"Affected are events from then on: 24h, 7d, 2026-11-20 or 2026-11-20T21:00:00Z." placeholder:"A"`
	Until        string `help:"Affected are events before then, or up to now." placeholder:"B"`
	Tenant       string `help:"Only of this tenant." placeholder:"T"`
	Agent        string `help:"Only of the agent of this id." placeholder:"A"`
	Tool         string `help:"Only of this tool." placeholder:"T"`
	Type         string `help:"Only of this type, such as data.access." placeholder:"T"`
	SessionToken string `help:"Only of this session, as it stands in the entries (column session_id)." placeholder:"S"`
	Entries      string `help:"Only the events whose ids are in this file, one a line, at most 10000; - is standard input." placeholder:"FILE"`
	Detected     string `help:"When it became known; from then on the time runs. Default: now." placeholder:"TIME"`
	JSON         bool   `help:"Print it as JSON."`
}

// Help is printed by `gdpr breach open --help`.
func (gdprBreachOpenCommand) Help() string {
	return `Says by time, and by more if it is known, which entries are affected, and counts the entries and the people whom they are about. Events
that are listed one by one need no time; it names those that are not stored. The authority must be told within
privacy.breach_notice of the detection (72 hours by default); metrics and alerts show what is left of that.`
}

func (c *gdprBreachOpenCommand) Run(ctx context.Context, w *world) error {
	opening, err := c.opening(w, time.Now())
	if err != nil {
		return err
	}
	systems, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer systems.Close()
	b, missing, err := privacy.OpenBreach(ctx, systems.Store, systems.Vault, opening)
	for _, id := range missing {
		_, _ = fmt.Fprintf(w.stderr, "not found: %s\n", uuid.UUID(id))
	}
	if err != nil {
		return err
	}
	status, err := breachStatusOf(ctx, systems.Vault, &b)
	if err != nil {
		return err
	}
	for _, id := range missing {
		status.NotFound = append(status.NotFound, uuid.UUID(id).String())
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(status)
	}
	return status.print(w.stdout)
}

func (c *gdprBreachOpenCommand) opening(w *world, now time.Time) (o privacy.BreachOpening, err error) {
	cfg, err := w.config()
	if err != nil {
		return o, err
	}
	o = privacy.BreachOpening{Reason: c.Reason, Detected: now, Notice: cfg.Privacy.BreachNotice, Scope: gdpr.BreachScope{
		Tenant: c.Tenant, Agent: c.Agent, Tool: c.Tool, Type: c.Type, SessionToken: c.SessionToken,
	}}
	if c.Entries == "" && (c.Since == "" || c.Until == "") {
		return o, errors.New("--since and --until, or --entries, say which entries are affected")
	}
	if o.Scope.Since, err = parseMoment("--since", c.Since, now); err != nil {
		return o, err
	}
	if o.Scope.Until, err = parseMoment("--until", c.Until, now); err != nil {
		return o, err
	}
	detected, err := parseMoment("--detected", c.Detected, now)
	if err != nil {
		return o, err
	}
	if detected != nil {
		o.Detected = *detected
	}
	if c.Entries != "" {
		o.Events, err = c.readEntries(w)
	}
	return o, err
}

// parseMoment reads a time, a day, how long ago, or now; nil without one.
func parseMoment(flag, text string, now time.Time) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	at, err := parseSince(text, now)
	if text == "now" {
		at, err = now, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: write now, 30m, 24h, 7d, 2026-11-20 or 2026-11-20T21:00:00Z", flag, text)
	}
	at = at.UTC().Truncate(time.Microsecond)
	return &at, nil
}

// readEntries reads the ids of events, each once.
func (c *gdprBreachOpenCommand) readEntries(w *world) ([][16]byte, error) {
	in := w.stdin
	if c.Entries != "-" {
		file, err := os.Open(c.Entries)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	var ids [][16]byte
	seen := map[[16]byte]bool{}
	lines := bufio.NewScanner(in)
	for number := 1; lines.Scan(); number++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		id, err := uuid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("--entries: line %d is no event id (a UUID)", number)
		}
		if !seen[id] {
			seen[id], ids = true, append(ids, id)
		}
		if len(ids) > privacy.MaxBreachEvents {
			return nil, fmt.Errorf("--entries: more than %d events: say by time which are affected", privacy.MaxBreachEvents)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("--entries: %w", err)
	}
	if len(ids) == 0 {
		return nil, errors.New("--entries: there is no event id in it")
	}
	return ids, nil
}

// breachLine is one breach in `gdpr breach list --json`.
type breachLine struct {
	Breach   string     `json:"breach"`
	Status   string     `json:"status"` // open, notified (open, and the authority was told), or closed
	Reason   string     `json:"reason"`
	Detected time.Time  `json:"detected"`
	Due      time.Time  `json:"due"` // when the authority must have been told
	Opened   time.Time  `json:"opened"`
	Closed   *time.Time `json:"closed,omitempty"`
	// Remaining is how much time is left to tell the authority, negative if that is over; absent once it was told, or nothing is to be done any more.
	Remaining *float64            `json:"remaining_seconds,omitempty"`
	Notices   []gdpr.BreachNotice `json:"notices"`
}

func breachLineOf(ctx context.Context, v *vault.Vault, b *vault.Breach, now time.Time) (breachLine, error) {
	line := breachLine{Breach: uuid.UUID(b.ID).String(), Status: "open", Reason: b.Reason, Detected: b.Detected, Due: b.Due, Opened: b.Opened}
	var err error
	if line.Notices, err = privacy.BreachNotices(ctx, v, b); err != nil {
		return line, err
	}
	for _, n := range line.Notices {
		if n.To == gdpr.ToAuthority {
			line.Status = "notified"
		}
	}
	if !b.Closed.IsZero() {
		line.Status, line.Closed = "closed", &b.Closed
	}
	if line.Status == "open" {
		left := b.Due.Sub(now).Seconds()
		line.Remaining = &left
	}
	return line, nil
}

func (l *breachLine) String() string {
	left := ""
	switch {
	case l.Remaining == nil:
	case *l.Remaining < 0:
		left = fmt.Sprintf(", %s overdue", roughly(-*l.Remaining))
	default:
		left = fmt.Sprintf(", %s left", roughly(*l.Remaining))
	}
	return fmt.Sprintf("%s  %-8s  detected %s, due %s%s: %s", l.Breach, l.Status, l.Detected.Format(time.RFC3339), l.Due.Format(time.RFC3339), left, printable(l.Reason))
}

// roughly is a number of seconds for people.
func roughly(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

type gdprBreachListCommand struct {
	JSON bool `help:"Print a JSON array."`
}

func (c *gdprBreachListCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	list, err := v.Breaches(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	lines := make([]breachLine, len(list))
	for i := range list {
		if lines[i], err = breachLineOf(ctx, v, &list[i], now); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(lines)
	}
	var text strings.Builder
	for i := range lines {
		text.WriteString(lines[i].String() + "\n")
	}
	if len(lines) == 0 {
		text.WriteString("there are no breaches\n")
	}
	_, err = io.WriteString(w.stdout, text.String())
	return err
}

// withBreach runs do with the breach of an id, and all systems.
func withBreach(ctx context.Context, w *world, text string, do func(systems *process.Systems, b *vault.Breach) error) error {
	id, err := uuid.Parse(text)
	if err != nil {
		return errors.New("a breach's id is a UUID; 'gdpr breach list' prints them")
	}
	systems, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer systems.Close()
	b, found, err := systems.Vault.Breach(ctx, id)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("there is no breach of this id")
	}
	return do(systems, &b)
}

type gdprBreachNoticeCommand struct {
	ID        string `arg:"" help:"Id of the breach." placeholder:"ID"`
	To        string `required:"" enum:"authority,subjects" help:"Who was told: authority or subjects."`
	Reference string `required:"" help:"What shows it, such as the authority's case number; it stands in the log, so name nobody." placeholder:"R"`
	JSON      bool   `help:"Print the breach as JSON."`
}

// Help is printed by `gdpr breach notice --help`.
func (gdprBreachNoticeCommand) Help() string {
	return `Notes that somebody was told; telling them is yours to do. Once the authority was told, the time no longer runs.`
}

func (c *gdprBreachNoticeCommand) Run(ctx context.Context, w *world) error {
	return withBreach(ctx, w, c.ID, func(systems *process.Systems, b *vault.Breach) error {
		done, err := privacy.NoteBreachNotice(ctx, systems.Vault, b, gdpr.Addressee(c.To), c.Reference)
		if err != nil {
			return err
		}
		if !done {
			return privacy.ErrBreachClosed
		}
		line, err := breachLineOf(ctx, systems.Vault, b, time.Now())
		if err != nil {
			return err
		}
		if c.JSON {
			return json.NewEncoder(w.stdout).Encode(line)
		}
		_, err = fmt.Fprintln(w.stdout, line.String())
		return err
	})
}

type gdprBreachCloseCommand struct {
	ID     string `arg:"" help:"Id of the breach." placeholder:"ID"`
	Reason string `required:"" help:"Why, such as what was done about it; it stands in the log, so name nobody." placeholder:"R"`
	JSON   bool   `help:"Print the report as JSON."`
}

// Help is printed by `gdpr breach close --help`.
func (gdprBreachCloseCommand) Help() string {
	return `Counts once more what is affected, and makes the report: what happened, when it was detected, which entries, how many people, who was
told when, and the checkpoints that the affected entries stood under. 'gdpr breach status' prints it again. Its SHA-256 stands in the log.`
}

func (c *gdprBreachCloseCommand) Run(ctx context.Context, w *world) error {
	return withBreach(ctx, w, c.ID, func(systems *process.Systems, b *vault.Breach) error {
		closed, err := privacy.CloseBreach(ctx, systems.Store, systems.Vault, b.ID, c.Reason)
		if err != nil {
			return err
		}
		if c.JSON {
			_, err = fmt.Fprintln(w.stdout, closed.Report)
			return err
		}
		return printBreachReport(w.stdout, closed.Report)
	})
}
