package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

type eventsCommand struct {
	User    string `help:"Events of this user: the user_id as producers send it." placeholder:"U"`
	Tenant  string `help:"Events of this tenant." placeholder:"T"`
	Subject string `help:"Events of this pseudonym, and nobody is named. With --reveal and --reason they are." placeholder:"UUID"`
	Reveal  bool   `help:"With --subject: print who it is. The log says first that it was asked, and why."`
	Reason  string `help:"With --reveal: why; it stands in the log, so name nobody." placeholder:"R"`
	Session string `help:"Events of this session: the session_id as producers send it. Needs --user where sessions are kept as tokens of their user." placeholder:"S"`
	Since   string `help:"Events since then: 30m, 24h, 7d, 2026-11-20 or 2026-11-20T21:00:00Z." placeholder:"D"`
	Type    string `help:"Events of this type, such as tool.call." placeholder:"T"`
	Content bool   `help:"Decrypt and print the content."`
	AsDPO   bool   `name:"as-dpo" help:"Also show names and contents of people whose data is restricted. That this was asked stands in the log."`
	Limit   int    `default:"1000" help:"Print this many at most, the earliest; 1 to 100000."`
	JSON    bool   `help:"Print a JSON array."`
}

// Help is printed by `events --help`.
func (eventsCommand) Help() string {
	return `Finds events of people by the names that producers use, and prints who they are of. In ClickHouse itself there are
pseudonyms and tokens only; this command asks the vault. Where somebody's data is restricted (gdpr restrict), it prints "(restricted)" in the
place of the name and of the content.

With --subject a pseudonym (from ClickHouse, a report or an alert) leads to the person's events, and their names stay in the vault. Contents may name
somebody, so --content needs --reveal then.`
}

func (c *eventsCommand) Run(ctx context.Context, w *world) error {
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	if err := checkLimit(c.Limit, reveal.MaxEvents); err != nil {
		return err
	}
	subject, err := c.subject()
	if err != nil {
		return err
	}
	systems, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer systems.Close()
	cfg, err := w.config()
	if err != nil {
		return err
	}
	if err := w.replay(ctx, systems); err != nil {
		return err
	}
	found, err := reveal.Find(ctx, reveal.Deps{Store: systems.Store, Vault: systems.Vault}, reveal.Question{
		Tenant: c.Tenant, User: c.User, Subject: subject, Pseudonyms: c.Subject != "" && !c.Reveal, Session: c.Session, Since: since, Type: c.Type, Limit: c.Limit,
		WithContent:   c.Content,
		Restricted:    c.AsDPO,
		SessionPolicy: cfg.Ingest.Fields.SessionID,
	})
	switch {
	case errors.Is(err, reveal.ErrNobody):
		_, _ = fmt.Fprintln(w.stderr, errNobody)
		err = nil
	case err == nil && len(found) == 0:
		_, _ = fmt.Fprintln(w.stderr, "no events")
	}
	if err == nil && c.AsDPO {
		err = privacy.NoteRead(ctx, systems.Vault, byCommandLine, "events", map[string]string{
			"restricted": "shown", "contents": strconv.FormatBool(c.Content), "count": strconv.Itoa(len(found)),
		})
	}
	if err == nil && c.Reveal {
		err = privacy.NoteRead(ctx, systems.Vault, byCommandLine, "identity", map[string]string{
			"subject": subject.String(), "reason": c.Reason, "contents": strconv.FormatBool(c.Content), "count": strconv.Itoa(len(found)),
		})
	}
	if err != nil {
		return err
	}
	if len(found) == c.Limit {
		_, _ = fmt.Fprintf(w.stderr, "these are the first %d; there may be more (--limit)\n", c.Limit)
	}
	out := bufio.NewWriter(w.stdout)
	if c.JSON {
		err = printEventsJSON(out, found)
	} else {
		err = printEvents(out, found)
	}
	return errors.Join(err, out.Flush())
}

// subject reads the pseudonym; zero if none is asked for.
func (c *eventsCommand) subject() (gdpr.SubjectID, error) {
	switch {
	case c.Subject == "" && (c.Reveal || c.Reason != ""):
		return gdpr.SubjectID{}, errors.New("--reveal and --reason go with --subject")
	case c.Subject == "":
		return gdpr.SubjectID{}, nil
	case c.Reveal != (c.Reason != ""):
		return gdpr.SubjectID{}, errors.New("--reveal needs a --reason, and a reason is for --reveal: it stands in the log")
	case c.Content && !c.Reveal:
		return gdpr.SubjectID{}, errors.New("--content may show who it is: add --reveal and --reason")
	case c.User != "":
		return gdpr.SubjectID{}, errors.New("--subject or --user, not both")
	}
	id, err := uuid.Parse(c.Subject)
	if err != nil || id == (uuid.UUID{}) {
		return gdpr.SubjectID{}, errors.New("--subject: a pseudonym is a UUID, as it stands in the column subject of ClickHouse")
	}
	return gdpr.SubjectID(id), nil
}

// replay compares the vault with the log: a vault that was restored knows people who are erased, of whom nothing may be shown.
func (w *world) replay(ctx context.Context, systems *process.Systems) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	return process.NewPrivacy(cfg, systems, nil, slog.New(slog.NewTextHandler(w.stderr, nil))).Replay(ctx)
}

// printEventsJSON writes an array, one event a line.
func printEventsJSON(w io.Writer, found []reveal.Event) error {
	separator := "[\n"
	for _, e := range found {
		text, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s%s", separator, text); err != nil {
			return err
		}
		separator = ",\n"
	}
	if len(found) == 0 {
		_, err := io.WriteString(w, "[]\n")
		return err
	}
	_, err := io.WriteString(w, "\n]\n")
	return err
}

func printEvents(w io.Writer, found []reveal.Event) error {
	for _, e := range found {
		line := fmt.Sprintf("%s  %s  %s/%s  %s  %s  %s", e.Time, e.Type, e.Tenant, who(e), e.Action, e.Outcome, e.EventID)
		if len(e.Findings) > 0 {
			line += "  " + e.Threat + ": " + strings.Join(e.Findings, ", ")
		}
		if _, err := fmt.Fprintln(w, printable(line)); err != nil {
			return err
		}
		content := string(e.Content)
		if e.ContentState != "" && e.ContentState != reveal.ContentOpened {
			content = "(" + e.ContentState + ")"
		}
		if content == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "    %s\n", printable(content)); err != nil {
			return err
		}
	}
	return nil
}

// who is the user's name, or the pseudonym of one whom the vault does not know any more.
func who(e reveal.Event) string {
	switch {
	case e.Restricted:
		return "(restricted)"
	case e.User != "":
		return e.User
	case e.Subject != "":
		return e.Subject
	}
	return "-"
}
