package main

import (
	"math"
	"slices"
	"sync"
)

// labelled is a series with the windows in which something was wrong, as indexes of their first and last rows, in order.
type labelled struct {
	name    string
	times   []int64 // seconds since 1970
	values  []float64
	windows [][2]int

	once   *sync.Once
	judged []judged
}

// profile is what a false alert costs and what a missed window costs; a window found at once is worth 1.
type profile struct{ falseAlert, missed float64 }

// The three profiles of the Numenta Anomaly Benchmark 1.1 (Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms, 2015).
var (
	standard  = profile{0.11, 1}
	rewardFP  = profile{0.22, 1}
	rewardFN  = profile{0.11, 2}
	bestEarly = sigmoid(-1) // what a row at the start of a window is worth before scaling
)

func sigmoid(x float64) float64 {
	if x > 3 {
		return -1
	}
	return 2/(1+math.Exp(5*x)) - 1
}

const (
	outside   = -1
	probation = -2
)

// judged is one row: what an alert there is worth, and in which window it is.
type judged struct {
	worth  float64
	window int // index, outside or probation
}

func newLabelled(name string) *labelled { return &labelled{name: name, once: new(sync.Once)} }

// judge says what an alert at each row is worth. It is worked out once, when the windows are known.
func (s *labelled) judge() []judged {
	s.once.Do(func() { s.judged = worth(s) })
	return s.judged
}

// worth says what an alert at each row is worth.
func worth(s *labelled) []judged {
	rows := make([]judged, len(s.times))
	quiet := int(min(math.Floor(0.15*float64(len(rows))), 0.15*5000))
	next, last := 0, -1
	for i := range rows {
		if next < len(s.windows) && i > s.windows[next][1] {
			last, next = next, next+1
		}
		switch {
		case next < len(s.windows) && i >= s.windows[next][0]:
			w := s.windows[next]
			rows[i] = judged{sigmoid(-float64(w[1]-i+1)/float64(w[1]-w[0]+1)) / bestEarly, next}
		case last < 0:
			rows[i] = judged{-1, outside}
		default:
			w := s.windows[last]
			rows[i] = judged{sigmoid(float64(i-w[1]) / float64(w[1]-w[0])), outside}
		}
		if i < quiet {
			rows[i].window = probation
		}
	}
	return rows
}

// outcome is how a set of series was scored.
type outcome struct {
	score          float64 // 100: each window at once and no false alert; 0: never an alert
	threshold      float64
	found, windows int
	falseRows      int
	falseEpisodes  int     // runs of false rows that are no more than episodeGap apart
	days           float64 // outside windows and probation
}

// episodeGap, in seconds: false alerts no further apart than this, by the time of the series, are one episode, as a person who looks at the first sees the others too.
const episodeGap = 3600

func pooled(p profile, threshold float64, series []*labelled, scores [][]float64) outcome {
	o := outcome{threshold: threshold}
	raw := 0.0
	for k, s := range series {
		rows := s.judge()
		best := make(map[int]float64)
		lastFalse := int64(math.MinInt64 / 2)
		for i, row := range rows {
			if row.window == probation {
				continue
			}
			if i > 0 && row.window == outside {
				// A gap in the series is no time in which there could have been alerts.
				o.days += float64(min(max(s.times[i]-s.times[i-1], 0), 86400)) / 86400
			}
			if row.window >= 0 {
				if _, seen := best[row.window]; !seen {
					best[row.window] = -p.missed
				}
			}
			if scores[k][i] < threshold { //nolint:gosec // scores has a row for each of the series
				continue
			}
			if row.window >= 0 {
				best[row.window] = max(best[row.window], row.worth)
				continue
			}
			raw += row.worth * p.falseAlert
			o.falseRows++
			if s.times[i]-lastFalse > episodeGap {
				o.falseEpisodes++
			}
			lastFalse = s.times[i]
		}
		// In order of the windows: sums of floating point numbers depend on it.
		for w := range s.windows {
			if v, seen := best[w]; seen {
				raw += v
				if v > -p.missed {
					o.found++
				}
			}
		}
		o.windows += len(s.windows)
	}
	n := float64(o.windows)
	o.score = 100 * (raw + n*p.missed) / (n * (1 + p.missed))
	return o
}

// bestThreshold is the one with the highest score on these series, as the published scoreboard uses it.
func bestThreshold(p profile, series []*labelled, scores [][]float64) float64 {
	type row struct {
		score, worth   float64
		series, window int
	}
	var rows []row
	best := make(map[[2]int]float64)
	total := 0.0
	for k, s := range series {
		for i, j := range s.judge() {
			if j.window == probation {
				continue
			}
			rows = append(rows, row{scores[k][i], j.worth, k, j.window}) //nolint:gosec // scores has a row for each of the series
			if j.window >= 0 {
				if _, seen := best[[2]int{k, j.window}]; !seen {
					best[[2]int{k, j.window}] = -p.missed
					total -= p.missed
				}
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return 0
	})
	top, threshold := total, 1.1
	for i := 0; i < len(rows); {
		at := rows[i].score
		for ; i < len(rows) && rows[i].score == at; i++ {
			r := rows[i]
			if r.window == outside {
				total += r.worth * p.falseAlert
			} else if key := [2]int{r.series, r.window}; r.worth > best[key] {
				total += r.worth - best[key]
				best[key] = r.worth
			}
		}
		if total > top {
			top, threshold = total, at
		}
	}
	return threshold
}
