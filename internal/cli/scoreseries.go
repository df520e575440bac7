package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/internal/progress"
	"github.com/agentaudit/agentaudit/internal/seriesfile"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

type scoreSeriesCommand struct {
	Dir  string `arg:"" help:"Folder of series: .csv files with the header timestamp,value." type:"existingdir"`
	Out  string `required:"" help:"Folder for the scores, made if need be." type:"path"`
	JSON bool   `help:"Print the result as JSON."`
}

// Help is printed by `score-series --help`.
func (scoreSeriesCommand) Help() string {
	return `Runs the detector's baselines over each series and writes timestamp,anomaly_score under the same relative path below OUT, one row for each row. Scores are
from 0 to 1, of past rows and the present one only; 0.5 and more is an alert. A row that goes on with what has alerted scores below. Every series starts
from nothing, and all have the same configuration. Nothing needs to run for it. Times are UTC unless they say otherwise; what is no series is refused with
its line. See "Series and baselines" in docs/detection.md.`
}

func (c *scoreSeriesCommand) Run(ctx context.Context, w *world) error {
	var rows atomic.Uint64
	stopProgress := progress.Show(w.stderr, "%d rows scored …\n", &rows)
	config := anomaly.DefaultSeriesConfig()
	result, err := seriesfile.ScoreFolder(ctx, &config, c.Dir, c.Out, &rows)
	stopProgress()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(w.stdout).Encode(result)
	}
	_, err = fmt.Fprintf(w.stdout, "scored %d series of %d rows: %d alerts\n", result.Series, result.Rows, result.Alerts)
	return err
}
