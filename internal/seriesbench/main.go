// Seriesbench shows how good the detector of series is, on labelled series of the Numenta Anomaly Benchmark, which are read from a folder with data/ and
// windows.json:
//
//	go run ./internal/seriesbench table DATA       scores on the series and on altered versions of them
//	go run ./internal/seriesbench ablate DATA      what each part is worth, and what leaving out a group of series would have made us choose
//	go run ./internal/seriesbench plot DATA OUT    draws series with their scores, as SVG
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "seriesbench:", err)
		os.Exit(2)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) < 2 {
		return fmt.Errorf("table DATA, ablate DATA or plot DATA OUT expected")
	}
	series, err := load(args[1])
	if err != nil {
		return err
	}
	switch {
	case args[0] == "table" && len(args) == 2:
		return table(out, series)
	case args[0] == "ablate" && len(args) == 2:
		return ablate(out, series)
	case args[0] == "plot" && len(args) == 3:
		return draw(series, args[2])
	}
	return fmt.Errorf("table DATA, ablate DATA or plot DATA OUT expected")
}

// altered makes all versions of the series; the first is the series themselves.
func altered(series []*labelled) [][]*labelled {
	var sets [][]*labelled
	for _, a := range alterations() {
		var set []*labelled
		for _, s := range series {
			set = append(set, a.make(s))
		}
		sets = append(sets, set)
	}
	return sets
}

// table prints one line for each version of the series.
func table(out io.Writer, series []*labelled) error {
	c := anomaly.DefaultSeriesConfig()
	if _, err := fmt.Fprintf(out, "%-26s %8s %6s %6s %7s %11s %8s %9s %9s\n", "", "standard", "low FP", "low FN", "windows", "false alerts", "a day", "episodes", "best at"); err != nil {
		return err
	}
	sets := altered(series)
	total := 0.0
	for i, a := range alterations() {
		scores := alertScores(&c, surprises(&c, sets[i]))
		o := pooled(standard, anomaly.AlertScore, sets[i], scores)
		total += o.score
		best := bestThreshold(standard, sets[i], scores)
		if _, err := fmt.Fprintf(out, "%-26s %8.1f %6.1f %6.1f  %d/%d %12d %8.3f %9.3f %.1f at %.3f\n", a.name, o.score,
			pooled(rewardFP, anomaly.AlertScore, sets[i], scores).score, pooled(rewardFN, anomaly.AlertScore, sets[i], scores).score,
			o.found, o.windows, o.falseRows, float64(o.falseRows)/o.days, float64(o.falseEpisodes)/o.days,
			pooled(standard, best, sets[i], scores).score, best); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%-26s %8.1f\n", "mean", total/float64(len(sets)))
	return err
}

// surprises runs the detector over each series from nothing.
func surprises(c *anomaly.SeriesConfig, series []*labelled) [][]float64 {
	out := make([][]float64, len(series))
	for k, s := range series {
		var d anomaly.Series
		out[k] = make([]float64, len(s.times))
		for i := range s.times {
			out[k][i] = d.Step(c, s.times[i], s.values[i]).Surprise
		}
	}
	return out
}

// alertScores are the scores that score-series writes, from the surprises, which do not depend on threshold and hysteresis.
func alertScores(c *anomaly.SeriesConfig, surprises [][]float64) [][]float64 {
	out := make([][]float64, len(surprises))
	for k, series := range surprises {
		var h anomaly.Hysteresis
		out[k] = make([]float64, len(series))
		for i, s := range series {
			out[k][i] = anomaly.Unit(h.Step(s, c.Threshold, c.Rearm, 1, c.HalfLife))
		}
	}
	return out
}
