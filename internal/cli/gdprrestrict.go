package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

type gdprRestrictCommand struct {
	Tenant     string `required:"" help:"The person's tenant." placeholder:"T"`
	User       string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	ID         string `help:"Your own id of the request, a number and no name: the same one again is the same request." placeholder:"ID"`
	VerifiedBy string `default:"operator" help:"Who has checked that the request is the person's." placeholder:"NAME"`
	Wait       bool   `help:"Wait until it is done."`
	JSON       bool   `help:"Print the request as JSON."`
}

// Help is printed by `gdpr restrict --help`.
func (gdprRestrictCommand) Help() string {
	return `While it lasts, the person's name and the content of the events that are about the person, as who acted or as one whose data was touched,
are shown to nobody but the data protection officer (events --as-dpo). Events are sealed as before, and erasure and export
work. The exporter carries it out, within seconds; 'gdpr unrestrict' ends it.`
}

func (c *gdprRestrictCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	request, added, err := privacy.Submit(ctx, v, privacy.Submission{
		Caller: c.ID, Kind: gdpr.RequestRestriction, Who: vault.Identity{Tenant: c.Tenant, User: c.User}, VerifiedBy: c.VerifiedBy,
	})
	if err != nil {
		return err
	}
	if !added {
		_, _ = fmt.Fprintln(w.stderr, "this request came before; nothing new was begun")
	}
	if c.Wait {
		if request, err = awaitRequest(ctx, v, request); err != nil {
			return err
		}
	}
	return printRequest(w, request, c.JSON)
}

type gdprUnrestrictCommand struct {
	Tenant string `required:"" help:"The person's tenant." placeholder:"T"`
	User   string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	Reason string `required:"" help:"Why; it stands in the log, so name nobody." placeholder:"R"`
}

// Help is printed by `gdpr unrestrict --help`.
func (gdprUnrestrictCommand) Help() string {
	return `Ends a restriction at once. The law wants the person to be told before that (GDPR Art. 18(3)), which is yours to do.`
}

func (c *gdprUnrestrictCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	lifted, err := privacy.LiftRestriction(ctx, v, vault.Identity{Tenant: c.Tenant, User: c.User}, c.Reason)
	if err == nil && !lifted {
		return errors.New("nobody of that name is restricted")
	}
	return err
}
