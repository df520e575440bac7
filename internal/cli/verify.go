package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/verify"
)

type verifyCommand struct {
	Log  string `help:"Check this log only, such as agent.events/3." placeholder:"L"`
	Deep bool   `help:"Check the columns and ciphertexts beside the entries as well."`
	JSON bool   `help:"Print the result as JSON."`
}

// Help is printed by `verify --help`.
func (verifyCommand) Help() string {
	return `Reads every entry of every log and checks its hash, its link to the entry before, its place, and the signatures of
system records; that each log still holds what the vault's checkpoints say; and that reopened logs continue where their
predecessors ended. Exit code 1 if anything is wrong; for each log the first bad place is printed.`
}

// longestRead is the time for reading one log. The timeout of ordinary queries would end the check of a long log.
const longestRead = 24 * time.Hour

func (c *verifyCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	cfg.ClickHouse.QueryTimeout = longestRead
	systems, err := process.Open(ctx, cfg, kafkaio.Deps{})
	if err != nil {
		return err
	}
	defer systems.Close()

	var checked atomic.Uint64
	stopProgress := showProgress(w.stderr, "%d entries checked …\n", &checked)
	report, err := verify.Run(ctx, verify.Deps{Store: systems.Store, Vault: systems.Vault}, verify.Options{
		Log: c.Log, Deep: c.Deep, Progress: func(n uint64) { checked.Add(n) },
	})
	stopProgress()
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(w.stdout).Encode(report)
	} else {
		err = printReport(w.stdout, report)
	}
	if err == nil && !report.OK {
		return errNo
	}
	return err
}

func printReport(w io.Writer, report verify.Report) error {
	for _, log := range report.Logs {
		state := "good"
		if log.FirstBad != nil {
			state = fmt.Sprintf("BAD at seq %d: %s", log.FirstBad.Seq, log.FirstBad.Reason)
		}
		if _, err := fmt.Fprintf(w, "%-24s %12d entries  %s\n", log.Log, log.Size, state); err != nil {
			return err
		}
	}
	answer := "good"
	if !report.OK {
		answer = "BAD: see above"
	}
	_, err := fmt.Fprintf(w, "%d entries in %d logs: %s\n", report.Entries, len(report.Logs), answer)
	return err
}
