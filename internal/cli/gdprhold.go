package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

type gdprHoldAddCommand struct {
	Tenant  string `required:"" help:"The person's tenant." placeholder:"T"`
	User    string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	Reason  string `required:"" help:"Why; name no person." placeholder:"R"`
	Author  string `default:"operator" help:"Who orders it." placeholder:"NAME"`
	Expires string `help:"Day on which it ends, such as 2027-06-30. Default: when it is lifted." placeholder:"DAY"`
}

// Help is printed by `gdpr hold add --help`.
func (gdprHoldAddCommand) Help() string {
	return `While it lasts neither the person is erased nor anybody who stands in an event together with the person: their content goes together.
A request for that is refused, with the reason. It prints the hold's id.`
}

func (c *gdprHoldAddCommand) Run(ctx context.Context, w *world) error {
	var expires time.Time
	if c.Expires != "" {
		var err error
		if expires, err = time.Parse(time.DateOnly, c.Expires); err != nil || expires.Before(time.Now()) {
			return errors.New("--expires: a day to come expected, such as 2027-06-30")
		}
	}
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	subject, err := pseudonymOf(ctx, v, vault.Identity{Tenant: c.Tenant, User: c.User})
	if err != nil {
		return err
	}
	now := time.Now()
	hold := vault.Hold{ID: [16]byte(events.NewUUID(now)), Subject: subject, Reason: c.Reason, Author: c.Author, At: now, Expires: expires}
	if err := privacy.AddHold(ctx, v, hold); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w.stdout, uuid.UUID(hold.ID))
	return err
}

type gdprHoldRemoveCommand struct {
	ID   string `arg:"" help:"Id of the hold." placeholder:"ID"`
	JSON bool   `help:"Print the hold as JSON."`
}

func (c *gdprHoldRemoveCommand) Run(ctx context.Context, w *world) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return errors.New("a hold's id is a UUID; 'gdpr hold list' prints them")
	}
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	lifted, err := privacy.LiftHold(ctx, v, id)
	if err == nil && !lifted {
		return errors.New("there is no such hold, or it was lifted already")
	}
	if err != nil {
		return err
	}
	if !c.JSON {
		_, err = fmt.Fprintf(w.stdout, "hold %s is lifted\n", id)
		return err
	}
	list, err := v.Holds(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].ID == id {
			return json.NewEncoder(w.stdout).Encode(holdLineOf(&list[i], time.Now()))
		}
	}
	return errors.New("the hold cannot be read any more")
}

type gdprHoldListCommand struct {
	JSON bool `help:"Print a JSON array."`
}

// holdLine is one hold in `gdpr hold list --json`.
type holdLine struct {
	ID      string `json:"id"`
	Subject string `json:"subject"` // the pseudonym
	Reason  string `json:"reason"`
	Author  string `json:"author"`
	At      string `json:"at"`
	Expires string `json:"expires,omitempty"`
	Active  bool   `json:"active"`
}

func holdLineOf(h *vault.Hold, now time.Time) holdLine {
	line := holdLine{
		ID: uuid.UUID(h.ID).String(), Subject: h.Subject.String(), Reason: h.Reason, Author: h.Author, At: h.At.Format(time.RFC3339), Active: h.Active(now),
	}
	if !h.Expires.IsZero() {
		line.Expires = h.Expires.Format(time.DateOnly)
	}
	return line
}

func (c *gdprHoldListCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	holds, err := v.Holds(ctx)
	if err != nil {
		return err
	}
	lines := make([]holdLine, len(holds))
	for i := range holds {
		lines[i] = holdLineOf(&holds[i], time.Now())
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(lines)
	}
	var text strings.Builder
	for _, l := range lines {
		state := "holds"
		if !l.Active {
			state = "over"
		}
		if l.Expires != "" {
			state += " until " + l.Expires
		}
		fmt.Fprintf(&text, "%s  %-22s  of %s by %s, %s  %s\n", l.ID, state, l.Subject, printable(l.Author), l.At, printable(l.Reason))
	}
	if len(lines) == 0 {
		text.WriteString("there are no legal holds\n")
	}
	_, err = io.WriteString(w.stdout, text.String())
	return err
}
