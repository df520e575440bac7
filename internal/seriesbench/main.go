// Seriesbench shows how good the detector of series is, on labelled series of the Numenta Anomaly Benchmark, which are read from a folder with data/ and
// windows.json:
//
//	go run ./internal/seriesbench table DATA       scores on the series and on altered versions of them
//	go run ./internal/seriesbench thinned DATA 301 306    the same with 3/5 of the rows, for each of these seeds
//	go run ./internal/seriesbench ablate DATA      what each part is worth, and what leaving out a group of series would have made us choose
//	go run ./internal/seriesbench plot DATA OUT    draws series with their scores, as SVG
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

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
		return errUse
	}
	series, err := load(args[1])
	if err != nil {
		return err
	}
	switch {
	case args[0] == "table" && len(args) == 2:
		return table(out, series)
	case args[0] == "thinned" && len(args) == 4:
		return thinnings(out, series, args[2], args[3])
	case args[0] == "ablate" && len(args) == 2:
		return ablate(out, series)
	case args[0] == "plot" && len(args) == 3:
		return draw(series, args[2])
	}
	return errUse
}

var errUse = errors.New("table DATA, thinned DATA FROM TO, ablate DATA or plot DATA OUT expected")

// thinnings prints how the series are scored with 3/5 of their rows, for one random choice of rows after the other: which rows stay matters, so that one
// choice says little.
func thinnings(out io.Writer, series []*labelled, from, to string) error {
	first, err := strconv.ParseUint(from, 10, 32)
	if err != nil {
		return fmt.Errorf("first seed: %w", err)
	}
	last, err := strconv.ParseUint(to, 10, 32)
	if err != nil || last < first {
		return fmt.Errorf("last seed: a number from %d on expected", first)
	}
	c := anomaly.DefaultSeriesConfig()
	total, totalADay := 0.0, 0.0
	for seed := first; seed <= last; seed++ {
		var set []*labelled
		for _, s := range series {
			set = append(set, thinned(seed)(s))
		}
		scores := alertScores(&c, set, surprises(&c, set))
		o := pooled(standard, anomaly.AlertScore, set, scores)
		best := bestThreshold(standard, set, scores)
		total, totalADay = total+o.score, totalADay+float64(o.falseRows)/o.days
		if _, err := fmt.Fprintf(out, "seed %-6d %8.1f  %d/%d windows, %.3f false alerts a day, best %.1f at %.3f\n", seed, o.score, o.found, o.windows,
			float64(o.falseRows)/o.days, pooled(standard, best, set, scores).score, best); err != nil {
			return err
		}
	}
	n := float64(last - first + 1)
	_, err = fmt.Fprintf(out, "mean        %8.1f  %.3f false alerts a day\n", total/n, totalADay/n)
	return err
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
		scores := alertScores(&c, sets[i], surprises(&c, sets[i]))
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
func alertScores(c *anomaly.SeriesConfig, series []*labelled, surprises [][]float64) [][]float64 {
	out := make([][]float64, len(series))
	for k, s := range series {
		var h anomaly.Hysteresis
		out[k] = make([]float64, len(s.times))
		last := s.times[0]
		for i, t := range s.times {
			out[k][i] = anomaly.Unit(h.Step(c.Evidence(surprises[k][i], uint32(i)), c.Threshold, c.Rearm, c.Elapsed(last, t), c.HalfLife))
			last = t
		}
	}
	return out
}
