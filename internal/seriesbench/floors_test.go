package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// What the detector has reached on the labelled series and some altered versions, less a point or two for what differs between machines.
func TestFloors(t *testing.T) {
	series, err := load(testkit.SharedData(t, "nab-dev"))
	if err != nil {
		t.Fatal(err)
	}
	floors := map[string]float64{
		"as it is": 80, "first 1/12 dropped": 74, "3/5 of rows, seed 1": 74, "3/5 of rows, seed 2": 70.5, "3/5: rows 0,2,4 of 5": 71.5, "3/5: rows 0,1,2 of 5": 70.5,
		"noise of 0.2 deviations": 80.5,
	}
	c := anomaly.DefaultSeriesConfig()
	for _, a := range alterations() {
		floor, wanted := floors[a.name]
		if !wanted {
			continue
		}
		delete(floors, a.name)
		var set []*labelled
		for _, s := range series {
			set = append(set, a.make(s))
		}
		o := pooled(standard, anomaly.AlertScore, set, alertScores(&c, set, surprises(&c, set)))
		t.Logf("%s: %.1f, %d of %d windows, %d false alerts in %.0f days", a.name, o.score, o.found, o.windows, o.falseRows, o.days)
		if o.score < floor {
			t.Errorf("%s: %.1f, at least %.1f expected", a.name, o.score, floor)
		}
		if perDay := float64(o.falseRows) / o.days; perDay > 0.065 {
			t.Errorf("%s: %.3f false alerts a day", a.name, perDay)
		}
	}
	for name := range floors {
		t.Errorf("no alteration %q", name)
	}
}

// hundred is a series of 100 rows of a minute, with one window.
func hundred() *labelled {
	s := newLabelled("group/name")
	for i := range 100 {
		s.times = append(s.times, int64(60*i))
		s.values = append(s.values, float64(i))
	}
	s.windows = [][2]int{{40, 49}}
	return s
}

func TestScoring(t *testing.T) {
	s := hundred()
	f := func(want float64, alerts ...int) {
		t.Helper()
		scores := make([]float64, 100)
		for _, i := range alerts {
			scores[i] = 1
		}
		if o := pooled(standard, 0.5, []*labelled{s}, [][]float64{scores}); o.score < want-0.01 || o.score > want+0.01 {
			t.Errorf("alerts at %v: %.3f, expected %.3f", alerts, o.score, want)
		}
	}
	f(0)              // never
	f(100, 40)        // at once
	f(100, 40, 45)    // the best of a window counts
	f(100, 3, 40)     // during probation nothing counts
	f(94.5, 20, 40)   // a false alert costs 0.11 of a window that is worth 2
	f(62.416, 49)     // at the last moment: (1 + σ(0.1)/σ(1)) / 2
	f(94.5, 40, 99)   // far behind the window it costs as much
	f(98.510, 40, 50) // right behind it, less
}

func TestBestThreshold(t *testing.T) {
	s := hundred()
	scores := make([]float64, 100)
	scores[20], scores[41], scores[60], scores[61] = 0.3, 0.6, 0.7, 0.5
	if got := bestThreshold(standard, []*labelled{s}, [][]float64{scores}); got != 0.6 {
		t.Errorf("%g, expected 0.6", got)
	}
	if got := bestThreshold(standard, []*labelled{s}, [][]float64{make([]float64, 100)}); got <= 0 {
		t.Errorf("%g, expected a threshold that is never reached", got)
	}
}

func TestAlterationsKeepWindows(t *testing.T) {
	for _, a := range alterations() {
		s := a.make(hundred())
		if len(s.windows) != 1 || len(s.times) != len(s.values) {
			t.Errorf("%s: %d windows, %d times, %d values", a.name, len(s.windows), len(s.times), len(s.values))
			continue
		}
		if w := s.windows[0]; w[0] < 0 || w[1] >= len(s.times) || w[0] >= w[1] {
			t.Errorf("%s: window %v of %d rows", a.name, w, len(s.times))
		}
		if a.name == "backwards" && s.windows[0] != [2]int{50, 59} {
			t.Errorf("%s: %v", a.name, s.windows)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{}, {"table"}, {"table", t.TempDir()}, {"thinned", t.TempDir(), "1", "2"}} {
		if err := run(args, new(strings.Builder)); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestDraw(t *testing.T) {
	s := hundred()
	s.name = drawn()[0]
	folder := t.TempDir()
	if err := draw([]*labelled{s}, folder); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "series-nyc_taxi.svg"))
	if err != nil || !strings.Contains(string(text), "<svg") {
		t.Errorf("%.40q: %v", text, err)
	}
}
