package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

type gdprExportCommand struct {
	Tenant     string `required:"" help:"The person's tenant." placeholder:"T"`
	User       string `required:"" help:"The person: the user_id as producers send it." placeholder:"U"`
	Out        string `required:"" help:"Write the archive to this file, which must not exist." placeholder:"F.zip"`
	ID         string `help:"Your own id of the request, a number and no name: the same one again is the same request, whose archive is written again." placeholder:"ID"`
	VerifiedBy string `default:"operator" help:"Who has checked that the request is the person's." placeholder:"NAME"`
	Recipient  string `help:"Encrypt it for this public key of age: then nobody else can open it, and neither can we." placeholder:"age1…"`
	JSON       bool   `help:"Print the result as JSON."`
}

// Help is printed by `gdpr export --help`.
func (gdprExportCommand) Help() string {
	return `Answers "what do you have about me?": a ZIP with everything about a person, what they did as well as what was done with their data. It
has the events as a table and as JSON, decrypted, a proof for each of them that it stands in the log, the public keys, and a README for
whoever gets it. Other people stand in it under their pseudonyms.

The exporter makes it, in its folder exporter.export_dir, encrypted; this command waits for it, and must be able to read that folder.
There it can be fetched again, with the same --id, until exporter.export_keep has passed or the person is erased. Exit code 1: it was refused,
with the reason.`
}

func (c *gdprExportCommand) Run(ctx context.Context, w *world) error {
	// First of all: an archive that takes minutes is not to fail at the end because of a name.
	file, err := durable.Begin(c.Out)
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	request, archive, err := c.fetch(ctx, w, file)
	if err != nil {
		return errors.Join(err, file.Discard())
	}
	if archive == nil {
		if err := file.Discard(); err != nil {
			return err
		}
		return printRequest(w, request, c.JSON)
	}
	if err := file.Commit(); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	if c.JSON {
		_, err = fmt.Fprintln(w.stdout, request.Result)
		return err
	}
	if _, err := fmt.Fprintf(w.stdout, "wrote %s: %s\n", c.Out, report.Count(archive.Events, "event", "events")); err != nil || !archive.Sealed {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "it is encrypted for the recipient, who opens it with 'age --decrypt -i KEYFILE %s'\n", c.Out)
	return err
}

// fetch asks for the archive, waits for it and copies it. archive is nil if there is none because of what the request says.
func (c *gdprExportCommand) fetch(ctx context.Context, w *world, to io.Writer) (request vault.Request, archive *privacy.Archive, err error) {
	cfg, err := w.config()
	if err != nil {
		return request, nil, err
	}
	systems, err := w.open(ctx)
	if err != nil {
		return request, nil, err
	}
	defer systems.Close()
	request, _, err = privacy.Submit(ctx, systems.Vault, privacy.Submission{
		Caller: c.ID, Kind: gdpr.RequestExport, Who: vault.Identity{Tenant: c.Tenant, User: c.User}, VerifiedBy: c.VerifiedBy, Recipient: c.Recipient,
	})
	if err != nil {
		return request, nil, err
	}
	if request.Kind != gdpr.RequestExport {
		return request, nil, fmt.Errorf("the request of this id is one for an %s", request.Kind)
	}
	if request, err = awaitExport(ctx, w, systems.Vault, request); err != nil || request.State != gdpr.StateCompleted {
		return request, nil, err
	}
	archive, err = privacy.OpenExport(ctx, systems.Vault, string(cfg.Exporter.ExportDir), request.ID)
	if err != nil {
		return request, nil, err
	}
	defer archive.Close()
	if _, err := io.Copy(to, archive); err != nil {
		return request, nil, fmt.Errorf("fetch the archive: %w", err)
	}
	return request, archive, nil
}

// awaitExport waits until an export has ended, and says how far it is.
func awaitExport(ctx context.Context, w *world, v *vault.Vault, request vault.Request) (vault.Request, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var events atomic.Uint64
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		tick := time.NewTicker(progress.Every / 2)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if e, found, err := v.Export(ctx, request.ID); err == nil && found {
					events.Store(e.Events)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	stop := progress.Show(w.stderr, "waiting for the archive, %d events so far\n", &events)
	request, err := awaitRequest(ctx, v, request)
	stop()
	cancel()
	<-ended
	return request, err
}

// printExport prints a request for an export, and where it is at if it is not completed.
func printExport(ctx context.Context, w *world, v *vault.Vault, request vault.Request, asJSON bool) error {
	line := lineOf(request)
	e, found, err := v.Export(ctx, request.ID)
	if err != nil {
		return err
	}
	if found {
		line.Export = &exportLine{Events: e.Events, Total: e.Total, Ready: e.Ready}
		if e.Ready {
			line.Export.Expires = e.Expires.Format(time.RFC3339)
		}
	}
	if asJSON {
		err = json.NewEncoder(w.stdout).Encode(line)
	} else if err = line.print(w.stdout); err == nil && found {
		err = line.Export.print(w.stdout)
	}
	if err == nil && (request.State == gdpr.StateRefused || request.State == gdpr.StateCancelled) {
		return errNo
	}
	return err
}

// exportLine is what `gdpr status --json` says of an archive that is there or being made.
type exportLine struct {
	Events  uint64 `json:"events"` // so far
	Total   uint64 `json:"total"`
	Ready   bool   `json:"ready"`
	Expires string `json:"expires,omitempty"`
}

func (l *exportLine) print(out io.Writer) error {
	var err error
	if l.Ready {
		_, err = fmt.Fprintf(out, "the archive has %s and can be fetched until %s\n", report.Count(l.Events, "event", "events"), l.Expires)
	} else {
		_, err = fmt.Fprintf(out, "%d of %d events so far\n", l.Events, l.Total)
	}
	return err
}
