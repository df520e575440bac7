package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

type gdprBreachStatusCommand struct {
	ID         string `arg:"" help:"Id of the breach." placeholder:"ID"`
	Subjects   bool   `help:"List the affected people, by pseudonym."`
	Identities bool   `help:"List them by name. That this was asked stands in the log."`
	AsDPO      bool   `name:"as-dpo" help:"With --identities: also name people whose data is restricted."`
	JSON       bool   `help:"Print it as JSON."`
}

// Help is printed by `gdpr breach status --help`.
func (gdprBreachStatusCommand) Help() string {
	return `Counts what is affected now: events may have come late, retention may have dropped some, and people may have been erased since. Of a
closed breach it prints the report, without counting anew.`
}

func (c *gdprBreachStatusCommand) Run(ctx context.Context, w *world) error {
	return withBreach(ctx, w, c.ID, func(systems *process.Systems, b *vault.Breach) error {
		listing := c.Subjects || c.Identities
		if !b.Closed.IsZero() && !listing {
			if c.JSON {
				_, err := fmt.Fprintln(w.stdout, b.Report)
				return err
			}
			return printBreachReport(w.stdout, b.Report)
		}
		status, err := breachStatusOf(ctx, systems.Vault, b)
		if err != nil {
			return err
		}
		if status.Now, err = privacy.MeasureBreach(ctx, systems.Store, systems.Vault, b); err != nil {
			return err
		}
		out := bufio.NewWriter(w.stdout)
		switch {
		case c.JSON && listing:
			err = c.printWithSubjects(ctx, w, systems, b, status, out)
		case c.JSON:
			err = json.NewEncoder(out).Encode(status)
		default:
			if err = status.print(out); err == nil && listing {
				err = c.eachSubject(ctx, w, systems, b, func(s affectedLine) error { return s.print(out) })
			}
		}
		return errors.Join(err, out.Flush())
	})
}

// affectedLine is somebody whom a breach affects.
type affectedLine struct {
	Subject    string `json:"subject"` // the pseudonym
	Acted      uint64 `json:"acted"`   // in how many affected entries this is the person who acted
	Touched    uint64 `json:"touched"` // in how many this is one whose data was touched
	Erased     bool   `json:"erased"`
	Restricted bool   `json:"restricted,omitempty"` // the name is not shown
	Tenant     string `json:"tenant,omitempty"`
	User       string `json:"user,omitempty"`
}

func (l affectedLine) print(out io.Writer) error {
	who := ""
	switch {
	case l.Erased:
		who = "  erased"
	case l.Restricted:
		who = "  restricted"
	case l.User != "":
		who = "  " + printable(l.Tenant+"/"+l.User)
	}
	_, err := fmt.Fprintf(out, "  %s  acted %d, touched %d%s\n", l.Subject, l.Acted, l.Touched, who)
	return err
}

// eachSubject calls fn with the affected people. Names are read after that was noted.
func (c *gdprBreachStatusCommand) eachSubject(ctx context.Context, w *world, systems *process.Systems, b *vault.Breach, fn func(affectedLine) error) error {
	names := privacy.NoNames
	if c.Identities {
		// A vault that was restored knows people who are erased.
		if err := w.replay(ctx, systems); err != nil {
			return err
		}
		about := map[string]string{"breach": uuid.UUID(b.ID).String()}
		if names = privacy.UnrestrictedNames; c.AsDPO {
			names, about["restricted"] = privacy.AllNames, "shown"
		}
		if err := privacy.NoteRead(ctx, systems.Vault, byCommandLine, "the people of a breach", about); err != nil {
			return err
		}
	}
	return privacy.BreachSubjects(ctx, systems.Store, systems.Vault, b, names, func(a privacy.Affected) error {
		return fn(affectedLine{Subject: a.ID.String(), Acted: a.Acted, Touched: a.Touched, Erased: a.Erased, Restricted: a.Restricted, Tenant: a.Who.Tenant, User: a.Who.User})
	})
}

// printWithSubjects writes the status with a member more, "people", which may be longer than memory.
func (c *gdprBreachStatusCommand) printWithSubjects(ctx context.Context, w *world, systems *process.Systems, b *vault.Breach, status *breachStatus, out *bufio.Writer) error {
	text, err := json.Marshal(status)
	if err != nil {
		return err
	}
	_, _ = out.Write(bytes.TrimSuffix(text, []byte("}"))) // what it cannot write it says at the end, in Flush
	separator := `,"people":[` + "\n"
	err = c.eachSubject(ctx, w, systems, b, func(s affectedLine) error {
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		_, _ = out.WriteString(separator)
		separator = ",\n"
		_, err = out.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	if separator != ",\n" {
		_, _ = out.WriteString(separator)
	}
	_, err = out.WriteString("]}\n")
	return err
}

// breachStatus is what is known of a breach.
type breachStatus struct {
	breachLine
	Scope    gdpr.BreachScope   `json:"scope"`
	Opening  gdpr.BreachExtent  `json:"at_opening"`
	Now      *gdpr.BreachExtent `json:"now,omitempty"`
	NotFound []string           `json:"not_found,omitempty"` // of the events that were listed
}

func breachStatusOf(ctx context.Context, v *vault.Vault, b *vault.Breach) (*breachStatus, error) {
	line, err := breachLineOf(ctx, v, b, time.Now())
	if err != nil {
		return nil, err
	}
	status := &breachStatus{breachLine: line}
	status.Scope, status.Opening, err = privacy.ReadBreach(b)
	return status, err
}

func (s *breachStatus) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "%s\naffected: %s\nat opening: %s\n", s.String(), scopeText(&s.Scope), extentText(&s.Opening)); err != nil {
		return err
	}
	if s.Now != nil {
		if _, err := fmt.Fprintf(out, "now: %s\n", extentText(s.Now)); err != nil {
			return err
		}
	}
	return printNotices(out, s.Notices)
}

func scopeText(s *gdpr.BreachScope) string {
	text := "events"
	if s.Listed > 0 {
		text = fmt.Sprintf("%d listed events", s.Listed)
	}
	if s.Since != nil {
		text += " from " + s.Since.Format(time.RFC3339)
	}
	if s.Until != nil {
		text += " to " + s.Until.Format(time.RFC3339)
	}
	for _, part := range []struct{ name, value string }{
		{"tenant", s.Tenant}, {"agent", s.Agent}, {"tool", s.Tool}, {"type", s.Type}, {"session", s.SessionToken},
	} {
		if part.value != "" {
			text += ", " + part.name + " " + printable(part.value)
		}
	}
	return text
}

func extentText(e *gdpr.BreachExtent) string {
	text := fmt.Sprintf("%s about %s (%d of them erased)", report.Count(uint64(e.Entries), "entry", "entries"), report.Count(uint64(e.Subjects), "person", "people"), e.Erased)
	if e.Rejected != nil && *e.Rejected > 0 {
		text += fmt.Sprintf("; %d records of that time could not be read and may be anybody's", *e.Rejected)
	}
	return text
}

func printNotices(out io.Writer, list []gdpr.BreachNotice) error {
	for _, n := range list {
		when := roughly(n.BeforeDeadline) + " before the deadline"
		if n.BeforeDeadline < 0 {
			when = roughly(-n.BeforeDeadline) + " after the deadline"
		}
		if _, err := fmt.Fprintf(out, "told %s at %s, %s: %s\n", n.To, n.At.Format(time.RFC3339), when, printable(n.Reference)); err != nil {
			return err
		}
	}
	return nil
}

func printBreachReport(out io.Writer, text string) error {
	var r gdpr.BreachReport
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	if _, err := fmt.Fprintf(out, "breach %s, closed %s: %s\nwhat: %s\ndetected %s, opened %s, the authority to be told by %s\naffected: %s\nat opening: %s\nat closing: %s\n",
		r.Breach, r.Closed.Format(time.RFC3339), printable(r.Why), printable(r.Reason), r.Detected.Format(time.RFC3339), r.Opened.Format(time.RFC3339),
		r.Due.Format(time.RFC3339), scopeText(&r.Scope), extentText(&r.Opening), extentText(&r.Closing)); err != nil {
		return err
	}
	if err := printNotices(out, r.Notices); err != nil {
		return err
	}
	if len(r.Notices) == 0 {
		if _, err := fmt.Fprintln(out, "nobody was told"); err != nil {
			return err
		}
	}
	for _, l := range r.Opening.Logs {
		covered := "covers them"
		if !l.Covered {
			covered = "does not cover all of them"
		}
		if _, err := fmt.Fprintf(out, "  %s: %d entries from %d to %d; the checkpoint of %d entries, root %s, %s\n", l.Log, l.Entries, l.First, l.Last, l.Size, l.Root, covered); err != nil {
			return err
		}
	}
	return nil
}
