package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// gdprConsentCommands are the commands about what people agree to. They need the vault only.
type gdprConsentCommands struct {
	Grant    gdprConsentGrantCommand    `cmd:"" help:"Note that a person agrees to a purpose."`
	Withdraw gdprConsentWithdrawCommand `cmd:"" help:"Note that a person does not agree any more."`
	List     gdprConsentListCommand     `cmd:"" help:"List what a person has said, with the history."`
	Check    gdprConsentCheckCommand    `cmd:"" help:"Ask whether a person agrees. Exit code 0: yes; 1: no."`
}

// vault opens the vault alone: these commands work while ClickHouse and Kafka are away.
func (w *world) vault(ctx context.Context) (*vault.Vault, error) {
	cfg, err := w.config()
	if err != nil {
		return nil, err
	}
	v, err := process.OpenVault(ctx, cfg, w.sayForged)
	return v, w.running(err)
}

// consentOf says whose consent to what a command is about.
type consentOf struct {
	Tenant  string `required:"" help:"The person's tenant." placeholder:"T"`
	User    string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	Purpose string `required:"" help:"The purpose: lower case words with dots or dashes between them, such as marketing.e-mail." placeholder:"P"`
}

func (o *consentOf) who() vault.Identity { return vault.Identity{Tenant: o.Tenant, User: o.User} }

// consentChange is what granting and withdrawing have in common.
type consentChange struct {
	consentOf
	Reference string `help:"What shows that it was said, such as the number of a form. It stays in the vault, encrypted, and goes with the person." placeholder:"R"`
	ID        string `help:"Your own id of this change: the same one again is the same change." placeholder:"ID"`
	JSON      bool   `help:"Print what holds now as JSON."`
}

func (c *consentChange) change(ctx context.Context, w *world, to gdpr.ConsentState) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	state, found, added, err := privacy.ChangeConsent(ctx, v, privacy.ConsentChange{
		Caller: c.ID, Who: c.who(), Purpose: c.Purpose, State: to, Reference: c.Reference,
	})
	switch {
	case err != nil:
		return err
	case !found:
		_, _ = fmt.Fprintf(w.stderr, "%v: there is nothing to withdraw, and nothing was noted\n", errNobody)
		return errNo
	case !added:
		_, _ = fmt.Fprintln(w.stderr, "this change came before; nothing new was noted")
	}
	return consentLineOf(c.Purpose, state).print(w.stdout, c.JSON)
}

type gdprConsentGrantCommand struct{ consentChange }

// Help is printed by `gdpr consent grant --help`.
func (gdprConsentGrantCommand) Help() string {
	return `Somebody whom the vault does not know becomes known by it, under a new pseudonym. Each change stands in the history and, with the
pseudonym and the purpose, in the log: a purpose that names a person would stay there.`
}

func (c *gdprConsentGrantCommand) Run(ctx context.Context, w *world) error {
	return c.change(ctx, w, gdpr.ConsentGranted)
}

type gdprConsentWithdrawCommand struct{ consentChange }

// Help is printed by `gdpr consent withdraw --help`.
func (gdprConsentWithdrawCommand) Help() string {
	return `It holds as soon as the command has ended. Of somebody whom the vault does not know nothing is noted, and the exit code is 1: look at
how the name is written.`
}

func (c *gdprConsentWithdrawCommand) Run(ctx context.Context, w *world) error {
	return c.change(ctx, w, gdpr.ConsentWithdrawn)
}

type gdprConsentCheckCommand struct {
	consentOf
	JSON bool `help:"Print it as JSON."`
}

// Help is printed by `gdpr consent check --help`.
func (gdprConsentCheckCommand) Help() string {
	return `Exit code 0: granted. 1: withdrawn, or the person has never said anything about it, or is not known, and does not become known by
being asked about. The vault is asked, so the answer is that of this moment.`
}

func (c *gdprConsentCheckCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	state, err := privacy.CheckConsent(ctx, v, c.who(), c.Purpose)
	if err != nil {
		return err
	}
	if err := consentLineOf(c.Purpose, state).print(w.stdout, c.JSON); err != nil || state.State == gdpr.ConsentGranted {
		return err
	}
	return errNo
}

// consentLine is what holds about one purpose.
type consentLine struct {
	Purpose string `json:"purpose"`
	Granted bool   `json:"granted"`
	State   string `json:"state"` // granted, withdrawn, or none: the person has never said anything about it
	Since   string `json:"since,omitempty"`
	Changes int    `json:"changes"`
}

func consentLineOf(purpose string, s vault.ConsentState) consentLine {
	line := consentLine{Purpose: purpose, Granted: s.State == gdpr.ConsentGranted, State: string(s.State), Changes: s.Changes}
	if s.State == "" {
		line.State = "none"
		return line
	}
	line.Since = s.Since.Format(time.RFC3339Nano)
	return line
}

func (l consentLine) print(out io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(l)
	}
	text := "not granted: nothing was said about " + l.Purpose
	if l.Since != "" {
		text = fmt.Sprintf("%s since %s: %s", l.State, l.Since, l.Purpose)
	}
	_, err := fmt.Fprintln(out, text)
	return err
}

type gdprConsentListCommand struct {
	Tenant  string `required:"" help:"The person's tenant." placeholder:"T"`
	User    string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	Purpose string `help:"This purpose only." placeholder:"P"`
	JSON    bool   `help:"Print a JSON array."`
}

// Help is printed by `gdpr consent list --help`.
func (gdprConsentListCommand) Help() string {
	return `Prints each purpose about which the person has said something, and all that was said, the latest last. Nobody becomes known by being
asked about.`
}

func (c *gdprConsentListCommand) Run(ctx context.Context, w *world) error {
	if c.Purpose != "" && !gdpr.ValidPurpose(c.Purpose) {
		return errors.New("--purpose: lower case words with dots or dashes between them expected, such as marketing.e-mail")
	}
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	list := []gdpr.Consent{}
	subject, err := pseudonymOf(ctx, v, vault.Identity{Tenant: c.Tenant, User: c.User})
	switch {
	case errors.Is(err, errNobody):
		_, _ = fmt.Fprintln(w.stderr, err)
	case err != nil:
		return err
	default:
		if list, err = c.consents(ctx, v, subject); err != nil {
			return err
		}
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(list)
	}
	return printConsents(w.stdout, list)
}

func (c *gdprConsentListCommand) consents(ctx context.Context, v *vault.Vault, subject gdpr.SubjectID) ([]gdpr.Consent, error) {
	all, err := privacy.Consents(ctx, v, subject)
	list := []gdpr.Consent{}
	for i := range all {
		if c.Purpose == "" || all[i].Purpose == c.Purpose {
			list = append(list, all[i])
		}
	}
	return list, err
}

func printConsents(out io.Writer, list []gdpr.Consent) error {
	var text strings.Builder
	for i := range list {
		c := &list[i]
		fmt.Fprintf(&text, "%s: %s since %s\n", c.Purpose, c.State, c.Since.Format(time.RFC3339))
		for _, change := range c.History {
			fmt.Fprintf(&text, "    %s  %-9s  %s\n", change.At.Format(time.RFC3339Nano), change.State, printable(change.Reference))
		}
	}
	if len(list) == 0 {
		text.WriteString("there are no consents\n")
	}
	_, err := io.WriteString(out, text.String())
	return err
}
