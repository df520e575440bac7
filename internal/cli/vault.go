package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/vault"
)

type vaultRotateCommand struct {
	Only string `enum:"all,add,rewrap,retire" default:"all" help:"One step only: add, rewrap or retire." placeholder:"STEP"`
}

// Help is printed by `vault rotate --help`.
func (vaultRotateCommand) Help() string {
	return `Replaces the key-encryption key, under which everything in the vault is: a new generation is added to the keyring (keys.source), what
is there is wrapped under it, and the older generations are destroyed. From then on no backup of the vault from before opens,
people who were erased since included. Processes go on meanwhile. Back up the keyring afterwards, and destroy its old copies.

Where machines have copies of the keyring: --only add, bring the file to all of them, --only rewrap, --only retire, bring it again.
With keys.rotate_every the exporter does it by itself.`
}

func (c *vaultRotateCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	switch c.Only {
	case "add":
		added, err := v.AddKeyGeneration(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.stdout, "added generation %d; bring the keyring to every machine before you rewrap\n", added)
		return err
	case "rewrap":
		n, err := v.Rewrap(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.stdout, "rewrapped %s\n", report.Count(uint64(n), "person", "people"))
		return err
	case "retire":
		retired, err := v.RetireOld(ctx)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w.stdout, "destroyed the generations %v; destroy the keyring's old copies too\n", retired)
		return err
	}
	done, err := v.Rotate(ctx, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "generation %d is in use, %d people were rewrapped, the generations %v are destroyed; back up the keyring and destroy its old copies\n",
		done.Added, done.Rewrapped, done.Retired)
	return err
}

// sayForged names a row of the vault that is not ours.
func (w *world) sayForged(e *vault.ForgedError) {
	_, _ = fmt.Fprintf(w.stderr, "warning: %s; it is not acted on, see 'agentaudit vault check'\n", e)
}

type vaultCheckCommand struct {
	JSON bool `help:"Print a JSON array."`
}

// Help is printed by `vault check --help`.
func (vaultCheckCommand) Help() string {
	return `Looks at every row that orders or decides something (requests, legal holds, API keys, authors, exports, restrictions, consents, erasures
and who was erased, the outbox, reopened logs, breaches, what the detector has learned, alerts and who was told of them) and names those that
were written by somebody without the keyring. Exit code 1: there are some. None of them is acted on, but some keep others waiting: nobody is erased beside a forged legal hold,
and no partition is sealed whose reopened log is forged. Find out who could write to the database, then delete the row with its own tools.`
}

// forgedLine is one row in `vault check --json`.
type forgedLine struct {
	Table string `json:"table"`
	Row   string `json:"row"`
}

func (c *vaultCheckCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	v, err := process.OpenVault(ctx, cfg, nil)
	if err != nil {
		return w.running(err)
	}
	defer v.Close()
	forged, err := v.Forged(ctx)
	if err != nil {
		return err
	}
	lines := []forgedLine{}
	var text strings.Builder
	for _, e := range forged {
		lines = append(lines, forgedLine{e.Table, e.Row})
		fmt.Fprintf(&text, "%s %s: forged\n", e.Table, e.Row)
	}
	if c.JSON {
		err = json.NewEncoder(w.stdout).Encode(lines)
	} else {
		if len(forged) == 0 {
			text.WriteString("every row was written by our processes\n")
		}
		_, err = io.WriteString(w.stdout, text.String())
	}
	if err == nil && len(forged) > 0 {
		return errNo
	}
	return err
}

type vaultListCommand struct {
	JSON bool `help:"Print a JSON array."`
}

// generationLine is one generation in `vault list --json`.
type generationLine struct {
	Generation int    `json:"generation"`
	Created    string `json:"created"`
}

func (c *vaultListCommand) Run(ctx context.Context, w *world) error {
	v, err := w.vault(ctx)
	if err != nil {
		return err
	}
	defer v.Close()
	lines := []generationLine{}
	for _, g := range v.KeyGenerations() {
		lines = append(lines, generationLine{g.Number, g.Created.Format(time.RFC3339)})
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(lines)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w.stdout, "generation %d, made %s\n", l.Generation, l.Created); err != nil {
			return err
		}
	}
	return nil
}
