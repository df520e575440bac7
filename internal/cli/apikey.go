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

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// apikeyCommands are the commands about the keys of those who ask over HTTP.
type apikeyCommands struct {
	Add    apikeyAddCommand    `cmd:"" help:"Make a key and print it, once."`
	List   apikeyListCommand   `cmd:"" help:"List the keys, without what is secret of them."`
	Revoke apikeyRevokeCommand `cmd:"" help:"Revoke a key, for ever and at once."`
}

// withVault runs do with the vault; nothing else is needed.
func withVault(ctx context.Context, w *world, do func(v *vault.Vault) error) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	return do(v)
}

type apikeyAddCommand struct {
	Role    string `required:"" enum:"viewer,analyst,auditor,dpo,admin" help:"What the key may do: viewer, analyst, auditor, dpo or admin." placeholder:"R"`
	Tenant  string `help:"Limit it to this tenant. Default: it sees all of them." placeholder:"T"`
	Name    string `help:"Whose it is, for the list." placeholder:"N"`
	Expires string `help:"The first day on which it does not count any more, such as 2027-06-30 (UTC). Default: when it is revoked." placeholder:"DAY"`
	JSON    bool   `help:"Print it as JSON."`
}

// Help is printed by `apikey add --help`.
func (apikeyAddCommand) Help() string {
	return `Makes a key for the exporter's HTTP interface (Authorization: Bearer KEY) and prints it. It cannot be printed again: the vault has its SHA-256
only. viewer and analyst see events under pseudonyms; analyst also passes people's requests on; auditor has proofs, requests and receipts besides the
events; dpo and admin also see names and contents, and decide requests. Whatever is asked with a key stands in the log under its id.`
}

// apikeyLine is one key in `apikey list --json`.
type apikeyLine struct {
	ID      string `json:"id"`
	Key     string `json:"key,omitempty"` // of `apikey add --json` only
	Role    string `json:"role"`
	Tenant  string `json:"tenant,omitempty"`
	Name    string `json:"name,omitempty"`
	Added   string `json:"added"`
	Expires string `json:"expires,omitempty"`
	Revoked string `json:"revoked,omitempty"`
	Used    string `json:"used,omitempty"` // the hour
	Active  bool   `json:"active"`
}

func lineOfAPIKey(k *vault.APIKey, now time.Time) apikeyLine {
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339)
	}
	return apikeyLine{
		ID: uuid.UUID(k.ID).String(), Role: k.Role, Tenant: k.Tenant, Name: k.Name, Added: when(k.Added), Expires: when(k.Expires), Revoked: when(k.Revoked),
		Used: when(k.Used), Active: k.Active(now),
	}
}

func (c *apikeyAddCommand) Run(ctx context.Context, w *world) error {
	now := time.Now().UTC()
	record, key, err := apikey.NewRecord(apikey.Role(c.Role), c.Tenant, c.Name, now)
	if err != nil {
		return err
	}
	if c.Expires != "" {
		if record.Expires, err = time.Parse(time.DateOnly, c.Expires); err != nil || !record.Expires.After(now) {
			return errors.New("--expires: a day to come expected, such as 2027-06-30")
		}
	}
	return withVault(ctx, w, func(v *vault.Vault) error {
		if added, err := privacy.AddAPIKey(ctx, v, record); err != nil || !added {
			return errors.Join(err, errors.New("the key was not stored"))
		}
		if c.JSON {
			line := lineOfAPIKey(&record, now)
			line.Key = key.Reveal()
			return json.NewEncoder(w.stdout).Encode(line)
		}
		_, err := fmt.Fprintf(w.stderr, "key %s, role %s; keep what follows, it is not shown again\n", uuid.UUID(record.ID), record.Role)
		if err == nil {
			_, err = fmt.Fprintln(w.stdout, key.Reveal())
		}
		return err
	})
}

type apikeyListCommand struct {
	JSON bool `help:"Print a JSON array."`
}

func (c *apikeyListCommand) Run(ctx context.Context, w *world) error {
	return withVault(ctx, w, func(v *vault.Vault) error {
		keys, err := v.APIKeys(ctx)
		if err != nil {
			return err
		}
		now := time.Now()
		lines := make([]apikeyLine, len(keys))
		for i := range keys {
			lines[i] = lineOfAPIKey(&keys[i], now)
		}
		if c.JSON {
			return json.NewEncoder(w.stdout).Encode(lines)
		}
		var text strings.Builder
		for _, l := range lines {
			state := "active"
			switch {
			case l.Revoked != "":
				state = "revoked"
			case !l.Active:
				state = "expired"
			}
			fmt.Fprintf(&text, "%s  %-7s  %-7s  added %s", l.ID, l.Role, state, l.Added)
			for _, about := range []struct{ what, value string }{{"tenant", l.Tenant}, {"expires", l.Expires}, {"last used", l.Used}, {"name", l.Name}} {
				if about.value != "" {
					fmt.Fprintf(&text, ", %s %s", about.what, printable(about.value))
				}
			}
			text.WriteByte('\n')
		}
		if len(lines) == 0 {
			text.WriteString("there are no API keys\n")
		}
		_, err = io.WriteString(w.stdout, text.String())
		return err
	})
}

type apikeyRevokeCommand struct {
	ID string `arg:"" help:"Id of the key." placeholder:"ID"`
}

func (c *apikeyRevokeCommand) Run(ctx context.Context, w *world) error {
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return errors.New("a key's id is a UUID; 'apikey list' prints them")
	}
	return withVault(ctx, w, func(v *vault.Vault) error {
		revoked, err := privacy.RevokeAPIKey(ctx, v, id)
		if err == nil && !revoked {
			return errors.New("there is no such key, or it was revoked already")
		}
		return err
	})
}
