package main

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// variant is the configuration with one thing changed.
type variant struct {
	name   string
	change func(*anomaly.SeriesConfig)
}

func variants() []variant {
	return []variant{
		{"as it is", func(*anomaly.SeriesConfig) {}},
		{"without the level", func(c *anomaly.SeriesConfig) { c.LevelWeight = 0 }},
		{"without the hour", func(c *anomaly.SeriesConfig) { c.HourWeight = 0 }},
		{"without what lasts", func(c *anomaly.SeriesConfig) { c.LastingWeight = 0 }},
		{"without what lasts long", func(c *anomaly.SeriesConfig) { c.LongWeight = 0 }},
		{"level only", func(c *anomaly.SeriesConfig) { c.HourWeight, c.LastingWeight, c.LongWeight = 0, 0, 0 }},
		{"no ageing", func(c *anomaly.SeriesConfig) { c.Ageing = 0 }},
		{"ageing 0.2", func(c *anomaly.SeriesConfig) { c.Ageing = 0.2 }},
		{"ageing 0.6", func(c *anomaly.SeriesConfig) { c.Ageing = 0.6 }},
		{"no hysteresis", func(c *anomaly.SeriesConfig) { c.HalfLife = 0.1 }},
		{"half-life 30", func(c *anomaly.SeriesConfig) { c.HalfLife = 30 }},
		{"half-life 120", func(c *anomaly.SeriesConfig) { c.HalfLife = 120 }},
		{"rearm 2", func(c *anomaly.SeriesConfig) { c.Rearm = 2 }},
		{"rearm 3", func(c *anomaly.SeriesConfig) { c.Rearm = 3 }},
		{"smooth 3", func(c *anomaly.SeriesConfig) { c.Smooth = 3 }},
		{"smooth 10", func(c *anomaly.SeriesConfig) { c.Smooth = 10 }},
		{"long smooth 20", func(c *anomaly.SeriesConfig) { c.SmoothLong = 20 }},
		{"long smooth 60", func(c *anomaly.SeriesConfig) { c.SmoothLong = 60 }},
		{"memory 1000", func(c *anomaly.SeriesConfig) { c.Memory = 1000 }},
		{"memory 4000", func(c *anomaly.SeriesConfig) { c.Memory = 4000 }},
		{"blocks of 2 (rows)", func(c *anomaly.SeriesConfig) { c.Block, c.FusedBlock = 2, 2 }},
		{"block 70", func(c *anomaly.SeriesConfig) { c.Block = 70 }},
		{"block 140", func(c *anomaly.SeriesConfig) { c.Block = 140 }},
		{"fused block 150", func(c *anomaly.SeriesConfig) { c.FusedBlock = 150 }},
		{"fused block 280", func(c *anomaly.SeriesConfig) { c.FusedBlock = 280 }},
		{"equal weights", func(c *anomaly.SeriesConfig) { c.LevelWeight, c.HourWeight = 1, 1 }},
	}
}

// allowedFalse is how many false alerts a series and day each variant has, all versions together: its threshold is chosen so. At different rates of false
// alerts variants could not be compared.
const allowedFalse = 0.055

// ablate prints what each variant scores on all versions of the series, in all and by group.
func ablate(out io.Writer, series []*labelled) error {
	sets := altered(series)
	groups := groupsOf(series)
	if _, err := fmt.Fprintf(out, "%-24s %9s %6s %6s   by group: %s\n", "", "threshold", "plain", "all", strings.Join(groups, ", ")); err != nil {
		return err
	}
	var names []string
	var within, outside [][]float64 // by variant and group: mean score on the group, and on all others
	for _, v := range variants() {
		c := anomaly.DefaultSeriesConfig()
		v.change(&c)
		scores := comparable(&c, sets)
		line := fmt.Sprintf("%-24s %9.3f %6.1f %6.1f  ", v.name, c.Threshold, pooled(standard, anomaly.AlertScore, sets[0], scores[0]).score,
			meanScore(sets, scores, func(string) bool { return true }))
		var in, others []float64
		for _, g := range groups {
			in = append(in, meanScore(sets, scores, func(group string) bool { return group == g }))
			others = append(others, meanScore(sets, scores, func(group string) bool { return group != g }))
			line += fmt.Sprintf(" %5.1f", in[len(in)-1])
		}
		names, within, outside = append(names, v.name), append(within, in), append(outside, others)
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	for g, group := range groups {
		best := 0
		for v := range outside {
			if outside[v][g] > outside[best][g] {
				best = v
			}
		}
		if _, err := fmt.Fprintf(out, "without %-22s best on the others: %-24s on the group: %5.1f, as it is %5.1f\n", group, names[best], within[best][g], within[0][g]); err != nil {
			return err
		}
	}
	return nil
}

// comparable sets the threshold of c so that there are allowedFalse false alerts, by bisection, and returns the scores.
func comparable(c *anomaly.SeriesConfig, sets [][]*labelled) [][][]float64 {
	all := make([][][]float64, len(sets))
	inParallel(len(sets), func(i int) { all[i] = surprises(c, sets[i]) })
	scores, rates := make([][][]float64, len(sets)), make([]float64, len(sets))
	least, most := 0.3, 3.0
	for range 9 {
		c.Threshold = (least + most) / 2
		inParallel(len(sets), func(i int) {
			scores[i] = alertScores(c, sets[i], all[i])
			o := pooled(standard, anomaly.AlertScore, sets[i], scores[i])
			rates[i] = float64(o.falseRows) / o.days
		})
		mean := 0.0
		for _, r := range rates {
			mean += r / float64(len(rates))
		}
		if mean > allowedFalse {
			least = c.Threshold
		} else {
			most = c.Threshold
		}
	}
	return scores
}

// meanScore is the mean over the versions, of the series of some groups.
func meanScore(sets [][]*labelled, scores [][][]float64, wanted func(group string) bool) float64 {
	total := 0.0
	for i := range sets {
		var some []*labelled
		var their [][]float64
		for k, s := range sets[i] {
			if wanted(groupOf(s)) {
				some, their = append(some, s), append(their, scores[i][k])
			}
		}
		total += pooled(standard, anomaly.AlertScore, some, their).score
	}
	return total / float64(len(sets))
}

func groupOf(s *labelled) string {
	group, _, _ := strings.Cut(s.name, "/")
	return group
}

// groupsOf are the groups that have windows, in order.
func groupsOf(series []*labelled) (groups []string) {
	for _, s := range series {
		if g := groupOf(s); len(s.windows) > 0 && (len(groups) == 0 || groups[len(groups)-1] != g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// inParallel calls f for each index, two at a time.
func inParallel(n int, f func(int)) {
	var wait sync.WaitGroup
	slots := make(chan struct{}, 2)
	for i := range n {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			f(i)
		})
	}
	wait.Wait()
}
