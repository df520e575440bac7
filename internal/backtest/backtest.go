// Package backtest plays events of the past to the detector's engine, in event time, and returns what it would have alerted: with other rules or another
// configuration, without sending anything to anybody.
package backtest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
)

// Learn is how far before Config.Since events are still read, so that what is usual is known by then. They alert nothing.
const Learn = 28 * 24 * time.Hour

// maxIncidents bounds what is kept. Nobody reads so many, and rules that hold for everything must not take all memory.
const maxIncidents = 100_000

var errTooMany = fmt.Errorf("more than %d incidents: make rules stricter, or look at less with --since and --until", maxIncidents)

// Config says what is asked.
type Config struct {
	Engine anomaly.Config // how detection weighs; its Rules are set here
	Rules  *rules.Set
	// Since and Until bound by when events were recorded, Until excluded; zero: no bound. See Learn.
	Since, Until time.Time
	Tenant       string // only this tenant's; "": all
}

// Summary is what was seen between Since and Until.
type Summary struct {
	Events   uint64
	Users    int    // who had events
	Days     int    // UTC days with events
	UserDays uint64 // users that had events, summed over days
	Rejected uint64 // entries that the events' parser does not read; of a file there are none
	// BySeverity counts incidents that would have been sent, Summarised those that a tenant's budget would have left to the summary of the day.
	BySeverity map[anomaly.Severity]int
	Summarised int
}

// PerUserDay returns incidents that would have been sent per user and day; 0 if there were no users.
func (s *Summary) PerUserDay() float64 {
	if s.UserDays == 0 {
		return 0
	}
	sent := 0
	for _, n := range s.BySeverity {
		sent += n
	}
	return float64(sent) / float64(s.UserDays)
}

// Result is the answer: incidents in order of time, all of them final.
type Result struct {
	Incidents []anomaly.Incident
	Summary   Summary
}

// run is one backtest under way. Record times must not fall.
type run struct {
	cfg     Config
	matcher *rules.Matcher
	engine  *anomaly.Engine
	since   int64 // record time from which is counted
	from    int64 // record time from which is read
	until   int64

	final   map[uuid.UUID]anomaly.Incident
	taken   []anomaly.Incident
	offset  int64
	last    int64 // record time of the last event
	sinceIn int64 // minute of last when incidents were taken
	lastDay map[[16]byte]int64
	day     int64
	summary Summary
}

const (
	noTime        = -1 << 62
	micros        = int64(time.Microsecond)
	minuteMicros  = int64(time.Minute) / micros
	dayMicros     = 24 * 60 * minuteMicros
	learnMicros   = int64(Learn) / micros
	latenessMicro = int64(anomaly.Lateness) / micros
)

func newRun(cfg Config) (*run, error) {
	if !cfg.Since.IsZero() && !cfg.Until.IsZero() && !cfg.Since.Before(cfg.Until) {
		return nil, errors.New("the end must lie behind the beginning")
	}
	r := &run{
		cfg: cfg, matcher: cfg.Rules.Matcher(), since: noTime, from: noTime, until: -noTime, last: noTime, day: noTime, sinceIn: noTime,
		final: map[uuid.UUID]anomaly.Incident{}, lastDay: map[[16]byte]int64{},
	}
	if !cfg.Since.IsZero() {
		r.since = cfg.Since.UnixMicro()
		r.from = r.since - learnMicros
	}
	if !cfg.Until.IsZero() {
		r.until = cfg.Until.UnixMicro()
	}
	cfg.Engine.Rules = cfg.Rules.ForEngine()
	var err error
	r.engine, err = anomaly.New(cfg.Engine)
	return r, err
}

// observe gives an event to the engine. It sets where it stands: events come merged, so there is one partition.
func (r *run) observe(ob *anomaly.Observation) error {
	ob.Partition, ob.Offset = 0, r.offset
	r.offset++
	r.last = max(r.last, ob.Recorded)
	r.count(ob)
	r.engine.Observe(ob)
	if minute := r.last / minuteMicros; minute != r.sinceIn {
		r.sinceIn = minute
		return r.take()
	}
	return nil
}

func (r *run) count(ob *anomaly.Observation) {
	if ob.Recorded < r.since {
		return
	}
	r.summary.Events++
	day := ob.Recorded / dayMicros
	if day > r.day {
		r.day = day
		r.summary.Days++
	}
	if ob.Subject == ([16]byte{}) {
		return
	}
	if last, known := r.lastDay[ob.Subject]; !known || r.day > last {
		r.lastDay[ob.Subject] = r.day
		r.summary.UserDays++
	}
}

// take keeps final incidents.
func (r *run) take() error {
	r.taken = r.engine.Take(r.taken[:0])
	for i := range r.taken {
		in := &r.taken[i]
		switch {
		case in.Status == anomaly.Final && in.Time.UnixMicro() >= r.since:
			r.final[in.ID] = *in
		case in.Status == anomaly.Withdrawn:
			delete(r.final, in.ID)
		}
	}
	if len(r.final) > maxIncidents {
		return errTooMany
	}
	return nil
}

// end closes all minutes and returns what is final.
func (r *run) end() (*Result, error) {
	if r.offset > 0 {
		// As far as incidents take to end, and no further: silence behind the last event is nothing that anybody did.
		r.engine.Clock(0, r.last+2*latenessMicro+int64(r.cfg.Engine.Gap)/micros+2*minuteMicros)
		if err := r.take(); err != nil {
			return nil, err
		}
	}
	maps.DeleteFunc(r.final, func(_ uuid.UUID, in anomaly.Incident) bool { return in.Time.UnixMicro() > r.last+latenessMicro })
	result := &Result{Incidents: slices.Collect(maps.Values(r.final)), Summary: r.summary}
	slices.SortFunc(result.Incidents, func(a, b anomaly.Incident) int {
		return cmp.Or(a.Time.Compare(b.Time), bytes.Compare(a.ID[:], b.ID[:]))
	})
	result.Summary.Users, result.Summary.BySeverity = len(r.lastDay), map[anomaly.Severity]int{}
	for i := range result.Incidents {
		if in := &result.Incidents[i]; in.Summarised {
			result.Summary.Summarised++
		} else {
			result.Summary.BySeverity[in.Severity]++
		}
	}
	return result, nil
}
