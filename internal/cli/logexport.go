package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/internal/logexport"
	"github.com/agentaudit/agentaudit/internal/progress"
)

type logExportCommand struct {
	Out string `required:"" help:"Folder to write to; it is made if it does not exist." placeholder:"DIR" type:"path"`
	Log string `help:"This log only, such as agent.events/3." placeholder:"L"`
}

// Help is printed by `log export --help`.
func (logExportCommand) Help() string {
	return `Writes every log up to its latest signed checkpoint, in the form in which the exporter serves it (C2SP tlog-tiles): the checkpoint, the
tree's tiles and the entries. Entries name no person and hold no content. 'verify --folder DIR --key VKEY', or the program
agentaudit-verify, checks the folder on any machine.`
}

func (c *logExportCommand) Run(ctx context.Context, w *world) error {
	systems, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer systems.Close()
	logs := []string{c.Log}
	if c.Log == "" {
		checkpoints, err := systems.Vault.Checkpoints(ctx)
		if err != nil {
			return err
		}
		if logs = nil; len(checkpoints) == 0 {
			return errors.New("there is no checkpoint yet; the exporter makes one within a second of the first entry")
		}
		for _, point := range checkpoints {
			logs = append(logs, point.Log)
		}
	}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	var written atomic.Uint64
	defer progress.Show(w.stderr, "%d entries written …\n", &written)()
	export := logexport.Exporter{Store: systems.Store, Vault: systems.Vault, Progress: func(n uint64) { written.Add(n) }}
	for _, log := range logs {
		point, err := export.Log(ctx, c.Out, log)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w.stdout, "%-24s %12d entries\n", log, point.Size); err != nil {
			return err
		}
	}
	return nil
}
