package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/tiles"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

type logTilesCommand struct {
	Log  string   `required:"" help:"The log, such as agent.events/3." placeholder:"L"`
	Mend bool     `help:"Put the right tiles in the place of wrong ones. Needs a ClickHouse user who may delete rows, as that of 'setup'."`
	Key  []string `help:"Public key of checkpoints, got from elsewhere, instead of those in exporter.signing_keys; may be given again." placeholder:"VKEY" sep:"none"`
	JSON bool     `help:"Print the result as JSON."`
}

// Help is printed by `log tiles --help`.
func (logTilesCommand) Help() string {
	return `Tiles are the hashes over a log's entries that proofs are made of. They follow from the entries: a wrong, missing or doubled one
is no loss, but the exporter stops with that log ("tile … is not made of the entries"). This command reads the log from its
first entry and checks every entry and link against the vault's signed checkpoint. Only if the entries make the signed root does it
look at the stored tiles: it prints those that differ, and --mend replaces them, and nothing else. If entries were changed it
changes nothing. Restart the exporter afterwards. Find out first who changed the table.

Exit codes: 0 all tiles are right, or were mended; 1 tiles are wrong and --mend was not given, or the entries are not what is
signed; 2 it could not be done.`
}

// tilesResult is what `log tiles --json` prints.
type tilesResult struct {
	OK       bool        `json:"ok"` // all tiles are right now
	Log      string      `json:"log"`
	Size     uint64      `json:"size"`            // entries that make the signed root
	Root     string      `json:"root"`            // that root, hex
	Wrong    []wrongTile `json:"wrong_tiles"`     // that were found
	Mended   bool        `json:"mended"`          // they were replaced
	FirstBad *report.Bad `json:"first_bad"`       // the entries are not what is signed: tiles were not looked at
	Error    string      `json:"error,omitempty"` // mending did not come to its end
}

type wrongTile struct {
	Level   int    `json:"level"`
	Tile    uint64 `json:"tile"`
	Problem string `json:"problem"`
}

func (c *logTilesCommand) Run(ctx context.Context, w *world) error {
	cfg, err := w.config()
	if err != nil {
		return err
	}
	systems, err := process.Open(ctx, cfg, kafkaio.Deps{})
	if err != nil {
		return w.running(err)
	}
	defer systems.Close()
	keys, err := verifierKeys(c.Key, cfg)
	if err != nil {
		return err
	}
	var checked atomic.Uint64
	stopProgress := progress.Show(w.stderr, "%d entries checked …\n", &checked)
	found, err := tiles.Check(ctx, tiles.Deps{Store: systems.Store, Vault: systems.Vault, Keys: keys, Progress: func(n uint64) { checked.Add(n) }}, c.Log)
	stopProgress()
	result := tilesResult{Log: c.Log, Wrong: []wrongTile{}}
	var fault *chain.Fault
	switch {
	case errors.As(err, &fault):
		result.FirstBad = &report.Bad{Seq: fault.Seq, Reason: fault.Reason}
		return c.print(w, result, nil)
	case err != nil:
		return err
	}
	result.Size, result.Root, result.OK = found.Size, found.Root.String(), len(found.Wrong) == 0
	for _, tile := range found.Wrong {
		result.Wrong = append(result.Wrong, wrongTile{Level: tile.Level, Tile: tile.Index, Problem: string(tile.Problem)})
	}
	if c.Mend && !result.OK {
		if err = found.Mend(ctx); err == nil {
			result.OK, result.Mended = true, true
		} else {
			result.Error = err.Error()
		}
	}
	return c.print(w, result, err)
}

// print prints the result and returns how the command ends, failed being why mending did not come to its end.
func (c *logTilesCommand) print(w *world, result tilesResult, failed error) error {
	var err error
	if c.JSON {
		err = json.NewEncoder(w.stdout).Encode(result)
	} else {
		err = result.writeText(w.stdout)
	}
	switch {
	case err != nil:
		return err
	case failed != nil:
		return failed
	case !result.OK:
		return errNo
	}
	return nil
}

func (r *tilesResult) writeText(w io.Writer) error {
	if r.FirstBad != nil {
		_, err := fmt.Fprintf(w, "%s: BAD at seq %d: %s\nthe entries are not what is signed: no tile was changed\n", r.Log, r.FirstBad.Seq, r.FirstBad.Reason)
		return err
	}
	for _, tile := range r.Wrong {
		if _, err := fmt.Fprintf(w, "tile %d of level %d %s\n", tile.Tile, tile.Level, tile.Problem); err != nil {
			return err
		}
	}
	state := "all tiles are right"
	switch {
	case r.Mended:
		state = fmt.Sprintf("%d tiles were mended; restart the exporter", len(r.Wrong))
	case r.Error != "":
		state = "not all tiles were mended; run this again"
	case !r.OK:
		state = fmt.Sprintf("%d tiles are wrong; --mend replaces them", len(r.Wrong))
	}
	_, err := fmt.Fprintf(w, "%s: %d entries make the signed root; %s\n", r.Log, r.Size, state)
	return err
}
