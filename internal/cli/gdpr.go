package cli

import (
	"bufio"
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

type gdprEraseCommand struct {
	Tenant     string `required:"" help:"The person's tenant." placeholder:"T"`
	User       string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	ID         string `help:"Your own id of the request, a number and no name: the same one again is the same request." placeholder:"ID"`
	Suppress   bool   `help:"Keep nothing of the person's later events either. Without it whoever comes by that name is a stranger."`
	VerifiedBy string `default:"operator" help:"Who has checked that the request is the person's; it stands in the log. Default: operator. Empty: nothing is done before 'gdpr verify'." placeholder:"NAME"`
	Wait       bool   `help:"Wait until it is done and print the receipt."`
	Yes        bool   `help:"Do not ask on a terminal whether it is to be done. Nobody is asked where the input is no terminal."`
	JSON       bool   `help:"Print the receipt or the request as JSON."`
}

// Help is printed by `gdpr erase --help`.
func (gdprEraseCommand) Help() string {
	return `Destroys the person's keys and identity. Events, checkpoints and proofs stay as they are; nothing in the system's files leads from
them to the person any more, and no content of theirs can be read again, that of events with other people in them included. The exporter
carries it out, within seconds, and nothing brings it back. Exit code 1: it was refused, with the reason. The receipt says where something may still
be, and until when.`
}

func (c *gdprEraseCommand) Run(ctx context.Context, w *world) error {
	if err := c.confirm(w); err != nil {
		return err
	}
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	request, added, err := privacy.Submit(ctx, v, privacy.Submission{
		Caller: c.ID, Kind: gdpr.RequestErasure, Who: vault.Identity{Tenant: c.Tenant, User: c.User}, VerifiedBy: c.VerifiedBy, SuppressForever: c.Suppress,
	})
	if err != nil {
		return err
	}
	if !added {
		_, _ = fmt.Fprintln(w.stderr, "this request came before; nothing new was begun")
	}
	if c.Wait {
		if err := sayWait(w.stderr, request); err != nil {
			return err
		}
		if request, err = awaitRequest(ctx, v, request); err != nil {
			return err
		}
	}
	return printRequest(w, request, c.JSON)
}

// confirm asks whoever sits at a terminal: nothing brings an erased person back. Scripts go on.
func (c *gdprEraseCommand) confirm(w *world) error {
	if c.Yes || !w.atTerminal() {
		return nil
	}
	if _, err := fmt.Fprintf(w.stderr, "erase the user %s of the tenant %s for ever? Type yes: ", printable(c.User), printable(c.Tenant)); err != nil {
		return err
	}
	// A line at a terminal has an end; more than that is no answer.
	answer, err := bufio.NewReader(io.LimitReader(w.stdin, 256)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was done: the answer was not yes")
	}
	return nil
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

func printReceipt(out io.Writer, result string) error {
	var r gdpr.Receipt
	if err := json.Unmarshal([]byte(result), &r); err != nil {
		return fmt.Errorf("read the receipt: %w", err)
	}
	unreadable := "not counted yet"
	if r.EventsUnreadable != nil {
		unreadable = fmt.Sprintf("%d", *r.EventsUnreadable)
	}
	if _, err := fmt.Fprintf(out, "request %s: %s at %s\nkeys destroyed: %d, events whose content is unreadable now: %s\nentry %d of %s, signed by %s\n",
		r.RequestID, r.Status, r.At, r.KeysDestroyed, unreadable, r.Seq, r.Log, r.Author); err != nil {
		return err
	}
	if r.Residual != nil && r.Residual.SealedSince != nil {
		if _, err := fmt.Fprintf(out, "searched afterwards: rows of the vault %d, entries sealed under the pseudonym since %d\n", r.Residual.VaultRows, *r.Residual.SealedSince); err != nil {
			return err
		}
	}
	for _, s := range r.Stores {
		line := fmt.Sprintf("  %-22s %s", s.Store, s.Status)
		if s.Until != "" {
			line += " until " + s.Until
		}
		if s.Note != "" {
			line += " (" + s.Note + ")"
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
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

// printChange prints what has become of a request by a command.
func printChange(ctx context.Context, w *world, v *vault.Vault, request vault.Request, asJSON bool) error {
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

type gdprVerifyCommand struct {
	ID   string `arg:"" help:"Id of the request." placeholder:"ID"`
	By   string `required:"" help:"Who has checked that the request is the person's." placeholder:"NAME"`
	JSON bool   `help:"Print the request as JSON."`
}

func (c *gdprVerifyCommand) Run(ctx context.Context, w *world) error {
	return withRequest(ctx, w, c.ID, func(v *vault.Vault, request vault.Request) error {
		done, err := privacy.VerifyRequest(ctx, v, &request, c.By)
		if err == nil && !done {
			return fmt.Errorf("the request is %s: there is nothing to verify", request.State)
		}
		if err != nil {
			return err
		}
		return printChange(ctx, w, v, request, c.JSON)
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
	return withRequest(ctx, w, c.ID, func(v *vault.Vault, request vault.Request) error {
		done, err := privacy.ExtendRequest(ctx, v, &request, c.Reason)
		if err == nil && !done {
			return fmt.Errorf("the request is %s and due %s: it cannot be extended", request.State, request.Due.Format(time.DateOnly))
		}
		if err != nil {
			return err
		}
		return printChange(ctx, w, v, request, c.JSON)
	})
}

type gdprCancelCommand struct {
	ID     string `arg:"" help:"Id of the request." placeholder:"ID"`
	Reason string `required:"" help:"Why; name no person." placeholder:"R"`
	JSON   bool   `help:"Print the request as JSON."`
}

func (c *gdprCancelCommand) Run(ctx context.Context, w *world) error {
	return withRequest(ctx, w, c.ID, func(v *vault.Vault, request vault.Request) error {
		done, err := privacy.CancelRequest(ctx, v, &request, c.Reason)
		if err == nil && !done {
			return fmt.Errorf("the request is %s and cannot be cancelled", request.State)
		}
		if err != nil {
			return err
		}
		return printChange(ctx, w, v, request, c.JSON)
	})
}

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
	subject, found, err := v.Find(ctx, vault.Identity{Tenant: c.Tenant, User: c.User})
	if err != nil {
		return err
	}
	if !found {
		return errors.New("the vault knows nobody of that name")
	}
	subject.Keys.Wipe()
	now := time.Now()
	hold := vault.Hold{ID: [16]byte(events.NewUUID(now)), Subject: subject.ID, Reason: c.Reason, Author: c.Author, At: now, Expires: expires}
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
