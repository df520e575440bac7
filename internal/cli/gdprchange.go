package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
)

type gdprVerifyCommand struct {
	ID   string `arg:"" help:"Id of the request." placeholder:"ID"`
	By   string `required:"" help:"Who has checked that the request is the person's." placeholder:"NAME"`
	JSON bool   `help:"Print the request as JSON."`
}

func (c *gdprVerifyCommand) Run(ctx context.Context, w *world) error {
	return changeRequest(ctx, w, c.ID, c.JSON, func(v *vault.Vault, r *vault.Request) (bool, error) { return privacy.VerifyRequest(ctx, v, r, c.By) }, func(r vault.Request) error {
		return fmt.Errorf("the request is %s: there is nothing to verify", r.State)
	})
}

type gdprExtendCommand struct {
	ID     string `arg:"" help:"Id of the request." placeholder:"ID"`
	Reason string `required:"" help:"Why, as the person is told; it stands in the log, so name nobody." placeholder:"R"`
	JSON   bool   `help:"Print the request as JSON."`
}

// Help is printed by `gdpr extend --help`.
func (gdprExtendCommand) Help() string {
	return `A request is due a month after it came in. Where it is complex, or there are many, the law allows two more months, if the person is told
why within the first (GDPR Art. 12(3)). Telling them is yours to do; the log says that and why the date was moved.`
}

func (c *gdprExtendCommand) Run(ctx context.Context, w *world) error {
	return changeRequest(ctx, w, c.ID, c.JSON, func(v *vault.Vault, r *vault.Request) (bool, error) {
		return privacy.ExtendRequest(ctx, v, r, c.Reason)
	}, func(r vault.Request) error {
		return fmt.Errorf("the request is %s and due %s: it cannot be extended", r.State, r.Due.Format(time.DateOnly))
	})
}

type gdprCancelCommand struct {
	ID     string `arg:"" help:"Id of the request." placeholder:"ID"`
	Reason string `required:"" help:"Why; name no person." placeholder:"R"`
	JSON   bool   `help:"Print the request as JSON."`
}

func (c *gdprCancelCommand) Run(ctx context.Context, w *world) error {
	return changeRequest(ctx, w, c.ID, c.JSON, func(v *vault.Vault, r *vault.Request) (bool, error) {
		return privacy.CancelRequest(ctx, v, r, c.Reason)
	}, func(r vault.Request) error {
		return fmt.Errorf("the request is %s and cannot be cancelled", r.State)
	})
}

// changeRequest changes the request of an id and prints what has become of it. impossible says why nothing was changed.
func changeRequest(ctx context.Context, w *world, id string, asJSON bool, change func(*vault.Vault, *vault.Request) (bool, error), impossible func(vault.Request) error) error {
	return withRequest(ctx, w, id, func(v *vault.Vault, request vault.Request) error {
		done, err := change(v, &request)
		if err != nil {
			return err
		}
		if !done {
			return impossible(request)
		}
		now, found, err := v.Request(ctx, request.ID)
		if err != nil {
			return err
		}
		if !found {
			return errors.New("the request cannot be read any more")
		}
		if asJSON {
			return json.NewEncoder(w.stdout).Encode(lineOf(now))
		}
		return lineOf(now).print(w.stdout)
	})
}
