package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/auditor"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/verify"
)

type verifyCommand struct {
	Log        []string `help:"Check this log only, such as agent.events/3; with --folder it may be given again." placeholder:"L" sep:"none"`
	Deep       bool     `help:"Check the columns and ciphertexts beside the entries as well."`
	Checkpoint []string `help:"Signed checkpoints that were kept elsewhere (see 'checkpoint'); may be given again." placeholder:"FILE" type:"existingfile" sep:"none"`
	Witness    []string `help:"Public key of a witness that must have signed each --checkpoint; may be given again." placeholder:"VKEY" sep:"none"`
	Key        []string `help:"Public key of checkpoints, got from elsewhere, instead of those in exporter.signing_keys; may be given again." placeholder:"VKEY" sep:"none"`
	Folder     string   `help:"Check a folder that 'log export' has made instead, with nothing but --key." placeholder:"DIR"`
	JSON       bool     `help:"Print the result as JSON."`
}

// Help is printed by `verify --help`.
func (verifyCommand) Help() string {
	return `Reads every entry of every log and checks its hash, its link to the entry before, its place, and the signatures of
system records; the tree over the entries, the tiles that proofs are made of, and the signed checkpoints; and that reopened logs
continue where their predecessors ended. SQL reads columns beside the entries: --deep checks these too. Checkpoints that were kept
away from these machines (--checkpoint), with a key from elsewhere (--key), find also what somebody changed who has all passwords
and keys here. Exit code 1 if anything is wrong; for each log the first bad place is printed. A system record that stands in its
log twice is a note and changes nothing of that: it may have been replayed, or sent twice by its producer.`
}

// longestRead is the time for reading one log. The timeout of ordinary queries would end the check of a long log.
const longestRead = 24 * time.Hour

func (c *verifyCommand) Run(ctx context.Context, w *world) error {
	if c.Folder != "" {
		return c.offline(ctx, w)
	}
	if len(c.Log) > 1 {
		// The last one would be checked, and the answer taken for that of all.
		return errors.New("verify: one --log at a time; without it all are checked")
	}
	cfg, err := w.config()
	if err != nil {
		return err
	}
	cfg.ClickHouse.QueryTimeout = longestRead
	systems, err := process.Open(ctx, cfg, kafkaio.Deps{})
	if err != nil {
		return w.running(err)
	}
	defer systems.Close()
	keys, err := verifierKeys(c.Key, cfg)
	if err != nil {
		return err
	}
	pinned, err := auditor.ReadCheckpoints(c.Checkpoint, c.Witness)
	if err != nil {
		return err
	}

	var checked atomic.Uint64
	stopProgress := progress.Show(w.stderr, "%d entries checked …\n", &checked)
	answer, err := verify.Run(ctx, verify.Deps{Store: systems.Store, Vault: systems.Vault}, verify.Options{
		Log: strings.Join(c.Log, ""), Deep: c.Deep, Keys: keys, Pinned: pinned, Progress: func(n uint64) { checked.Add(n) },
	})
	stopProgress()
	if err != nil {
		return err
	}
	good := "good (entries; --deep checks the columns too, which SQL reads)"
	if c.Deep {
		good = auditor.Good
	}
	return c.print(w, answer, good)
}

func (c *verifyCommand) print(w *world, answer report.Report, good string) (err error) {
	if c.JSON {
		err = answer.WriteJSON(w.stdout)
	} else {
		err = answer.WriteText(w.stdout, good)
	}
	if err == nil && !answer.OK {
		return errNo
	}
	return err
}

// offline checks an exported folder, as agentaudit-verify does.
func (c *verifyCommand) offline(ctx context.Context, w *world) error {
	switch {
	case len(c.Key) == 0:
		return errors.New("verify --folder: give the public key of the checkpoints with --key")
	case c.Deep:
		return errors.New("verify --folder: a folder has no columns to check with --deep")
	}
	question := auditor.Question{Folder: c.Folder, Log: c.Log, Key: c.Key, Checkpoint: c.Checkpoint, Witness: c.Witness}
	answer, err := question.Check(ctx, w.stderr)
	if err != nil {
		return err
	}
	return c.print(w, answer, auditor.Good)
}

// verifierKeys are those whose signatures count: the given ones, else those of exporter.signing_keys.
func verifierKeys(vkeys []string, cfg config.Config) (note.Verifiers, error) {
	if len(vkeys) == 0 {
		folder, err := logkeys.Load(string(cfg.Exporter.SigningKeys), cfg.Deployment)
		if err != nil {
			return nil, err
		}
		if vkeys = folder.VKeys(); len(vkeys) == 0 {
			return nil, fmt.Errorf("there is no key in %s: give the public key of the checkpoints with --key", cfg.Exporter.SigningKeys)
		}
	}
	return logkeys.Verifiers(vkeys)
}
