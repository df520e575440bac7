package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

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
