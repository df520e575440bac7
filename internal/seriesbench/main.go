// Seriesbench scores the series detector on labelled series and on altered versions of them.
// Seriesbench scores the series detector on labelled series and on altered versions of them.
package main

import (
	"fmt"
	"os"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func run(c *anomaly.SeriesConfig, series []*labelled) [][]float64 {
	out := make([][]float64, len(series))
	for k, s := range series {
		var d anomaly.Series
		out[k] = make([]float64, len(s.times))
		for i := range s.times {
			out[k][i] = anomaly.Unit(d.Step(c, s.times[i], s.values[i]).Strength)
		}
	}
	return out
}

func main() {
	series, err := load(os.Args[1])
	if err != nil {
		panic(err)
	}
	c := anomaly.DefaultSeriesConfig()
	sum := 0.0
	as := alterations()
	for _, a := range as {
		var altered []*labelled
		for _, s := range series {
			altered = append(altered, a.make(s))
		}
		sc := run(&c, altered)
		o := pooled(standard, 0.5, altered, sc)
		b := pooled(standard, bestThreshold(standard, altered, sc), altered, sc)
		f := pooled(rewardFP, 0.5, altered, sc)
		n := pooled(rewardFN, 0.5, altered, sc)
		fmt.Printf("%-26s %6.2f  best %6.2f at %.3f  fp %5.1f fn %5.1f %d/%d  rows/day %.3f eps/day %.3f days %.0f\n", a.name, o.score, b.score, b.threshold, f.score, n.score, o.found, o.windows, o.perDay, o.epsADay, o.days)
		sum += o.score
	}
	fmt.Printf("mean %.2f\n", sum/float64(len(as)))
}
