package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// gdprCommands are the commands about people's requests.
type gdprCommands struct {
	Export gdprExportCommand `cmd:"" help:"Write everything about a person to a ZIP, with proofs."`
	Erase  gdprEraseCommand  `cmd:"" help:"Erase a person: everything that leads from the log to them."`
	Status gdprStatusCommand `cmd:"" help:"Print how far a request is, and its receipt."`
	List   gdprListCommand   `cmd:"" help:"List the requests."`
	Verify gdprVerifyCommand `cmd:"" help:"Note that a request is the person's, so that it is carried out."`
	Extend gdprExtendCommand `cmd:"" help:"Give a request two more months, once."`
	Cancel gdprCancelCommand `cmd:"" help:"Cancel a request that is not being carried out yet."`
	Hold   struct {
		Add    gdprHoldAddCommand    `cmd:"" help:"Order a legal hold: a person's data must not be erased."`
		Remove gdprHoldRemoveCommand `cmd:"" help:"Lift a legal hold."`
		List   gdprHoldListCommand   `cmd:"" help:"List the legal holds."`
	} `cmd:"" help:"Legal holds: add, remove, list."`
	Restrict   gdprRestrictCommand   `cmd:"" help:"Keep a person's data, but show it to nobody but the data protection officer."`
	Unrestrict gdprUnrestrictCommand `cmd:"" help:"End a restriction."`
	Consent    gdprConsentCommands   `cmd:"" help:"What people agree to: grant, withdraw, list, check."`
	Breach     gdprBreachCommands    `cmd:"" help:"Breaches of personal data: open, list, status, notice, close."`
}

// sayWait says what a request that has not ended waits for: without an exporter, or somebody who verifies it, that is for ever.
func sayWait(out io.Writer, request vault.Request) error {
	id, waits := uuid.UUID(request.ID), "waiting for an exporter to carry it out"
	switch {
	case request.State.Ended():
		return nil
	case request.State == gdpr.StateReceived:
		waits = fmt.Sprintf("waiting until 'gdpr verify %s --by NAME' says that it is the person's", id)
	}
	_, err := fmt.Fprintf(out, "request %s: %s; Ctrl-C ends the waiting only\n", id, waits)
	return err
}

// awaitRequest waits until a request has ended.
func awaitRequest(ctx context.Context, v *vault.Vault, request vault.Request) (vault.Request, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !request.State.Ended() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return request, context.Cause(ctx)
		}
		var found bool
		var err error
		if request, found, err = v.Request(ctx, request.ID); err != nil || !found {
			return request, errors.Join(err, errors.New("the request cannot be read any more"))
		}
	}
	return request, nil
}

// printRequest prints a request, or the receipt of one that is completed. The answer of one that was refused is no.
func printRequest(w *world, request vault.Request, asJSON bool) error {
	var err error
	switch {
	case asJSON && request.Result != "":
		_, err = fmt.Fprintln(w.stdout, request.Result)
	case asJSON:
		err = json.NewEncoder(w.stdout).Encode(lineOf(request))
	case request.Result != "":
		err = printReceipt(w.stdout, request.Result)
	default:
		err = lineOf(request).print(w.stdout)
	}
	if err == nil && (request.State == gdpr.StateRefused || request.State == gdpr.StateCancelled) {
		return errNo
	}
	return err
}

// requestLine is one request in `gdpr list --json`.
type requestLine struct {
	RequestID  string `json:"request_id"`
	Caller     string `json:"caller"`
	Kind       string `json:"kind"`
	Status     string `json:"status"`
	Reason     string `json:"reason,omitempty"`
	VerifiedBy string `json:"verified_by,omitempty"`
	Received   string `json:"received"`
	Due        string `json:"due"`

	Export *exportLine `json:"export,omitempty"`
}

func lineOf(r vault.Request) requestLine {
	return requestLine{
		RequestID: uuid.UUID(r.ID).String(), Caller: r.Caller, Kind: string(r.Kind), Status: string(r.State), Reason: r.Reason, VerifiedBy: r.VerifiedBy,
		Received: r.Received.Format(time.RFC3339), Due: r.Due.Format(time.RFC3339),
	}
}

func (l requestLine) print(out io.Writer) error {
	about := ""
	if l.Reason != "" {
		about = ": " + printable(l.Reason)
	}
	_, err := fmt.Fprintf(out, "%s  %-11s %-11s received %s, due %s%s\n", l.RequestID, l.Kind, l.Status, l.Received, l.Due[:len(time.DateOnly)], about)
	return err
}

type gdprStatusCommand struct {
	ID   string `arg:"" help:"Id of the request." placeholder:"ID"`
	JSON bool   `help:"Print it as JSON."`
}

// Help is printed by `gdpr status --help`.
func (gdprStatusCommand) Help() string {
	return `Exit code 0: the request waits, is being carried out, or is completed; the output says which. 1: it was refused or cancelled, and why. 2: there is
no such request, or the vault cannot be asked. Only the vault is needed.`
}

func (c *gdprStatusCommand) Run(ctx context.Context, w *world) error {
	return withRequest(ctx, w, c.ID, func(v *vault.Vault, request vault.Request) error {
		if request.Kind == gdpr.RequestExport {
			return printExport(ctx, w, v, request, c.JSON)
		}
		return printRequest(w, request, c.JSON)
	})
}

// withRequest runs do with the request of an id.
func withRequest(ctx context.Context, w *world, text string, do func(v *vault.Vault, request vault.Request) error) error {
	id, err := uuid.Parse(text)
	if err != nil {
		return errors.New("a request's id is a UUID; 'gdpr list' prints them")
	}
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	request, found, err := v.Request(ctx, id)
	if err != nil {
		return err
	}
	if !found {
		return errors.New("there is no request of this id")
	}
	return do(v, request)
}

type gdprListCommand struct {
	JSON bool `help:"Print a JSON array."`
}

func (c *gdprListCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	list, err := v.Requests(ctx)
	if err != nil {
		return err
	}
	lines := make([]requestLine, len(list))
	for i := range list {
		lines[i] = lineOf(list[i])
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(lines)
	}
	if len(lines) == 0 {
		_, err = fmt.Fprintln(w.stdout, "there are no requests")
	}
	for _, line := range lines {
		if err == nil {
			err = line.print(w.stdout)
		}
	}
	return err
}
