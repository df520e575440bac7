package simulate

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Outcome is how an incident was noticed.
type Outcome struct {
	Label Label
	// Found is whether it was alerted; After is the time from its first event to the alert, in event time, and Cost what had been spent by then, in USD.
	Found    bool
	After    time.Duration
	Cost     float64
	Severity anomaly.Severity
	Title    string
	// Textbook is whether the textbook detector alerted.
	Textbook      bool
	TextbookAfter time.Duration
}

// Result is what came of a world.
type Result struct {
	Seed     uint64
	Events   int
	UserDays int // with an event, from the first day on which incidents happen
	Outcomes []Outcome
	// False are alerts about nobody's incident, False of them said and not taken back; Withdrawn were taken back.
	False, Withdrawn int
	FalseTitles      []string
	// TextbookFalse counts each alert, TextbookFalseHours at most one of a user and hour.
	TextbookFalse, TextbookFalseHours int
	Elapsed                           time.Duration
}

// Found is how many incidents were alerted.
func (r *Result) Found() (n int) {
	for i := range r.Outcomes {
		if r.Outcomes[i].Found {
			n++
		}
	}
	return n
}

// TextbookFound is how many the textbook detector alerted.
func (r *Result) TextbookFound() (n int) {
	for i := range r.Outcomes {
		if r.Outcomes[i].Textbook {
			n++
		}
	}
	return n
}

// FalsePerUserDay is the rate of false alerts.
func (r *Result) FalsePerUserDay() float64 { return float64(r.False) / float64(max(r.UserDays, 1)) }

// shown tells whether an alert that is about an incident shows it. What all do together is not shown by one of them who stands out.
func (l *Label) shown(in *anomaly.Incident) bool {
	says := func(of anomaly.EntityKind) bool {
		return in.Kind == of || slices.ContainsFunc(in.Signals, func(s anomaly.Signal) bool { return strings.HasPrefix(s.Name, string(of)+".") })
	}
	switch l.Kind {
	case BusyNight:
		return says(anomaly.EntityAgent) || says(anomaly.EntityTenant)
	case SlowRise:
		return says(anomaly.EntityTenant)
	}
	return true
}

// about tells whether an alert is about an incident: of its user, its agent, its producer, or its tenant as a whole, while it goes on or within an hour of its end.
func (l *Label) about(in *anomaly.Incident) bool {
	if in.Tenant != l.Tenant || in.Last.UnixMicro() < l.From || in.First.UnixMicro() > l.To+hour {
		return false
	}
	switch in.Kind {
	case anomaly.EntitySubject:
		return l.Subject == [16]byte(in.Subject) && l.Subject != [16]byte{} || (l.Kind == FailingAgent || l.Kind == BusyNight) && slices.Contains(in.Agents, l.Agent) || l.Kind == SlowRise
	case anomaly.EntityAgent:
		return in.Entity == l.Agent || l.Kind == SlowRise
	case anomaly.EntityProducer:
		return in.Entity == l.Producer
	}
	return true
}

// Evaluate lets an engine and the textbook detector watch a world.
func Evaluate(w *World, cfg anomaly.Config) (*Result, error) {
	engine, err := anomaly.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	engine.Partitions(Partitions())
	r := &Result{Seed: w.cfg.Seed}
	for _, l := range w.labels {
		r.Outcomes = append(r.Outcomes, Outcome{Label: l})
	}
	spent := make([]float64, len(r.Outcomes))
	last := map[uuid.UUID]anomaly.Incident{}
	blamed := map[uuid.UUID]bool{} // that are about an incident
	book := NewTextbook()
	hours := map[string]bool{}
	var taken []anomaly.Incident
	take := func(now int64) {
		taken = engine.Take(taken[:0])
		for _, in := range taken {
			last[in.ID] = in
			if in.Status == anomaly.Withdrawn || in.Summarised {
				continue
			}
			for k := range r.Outcomes {
				o := &r.Outcomes[k]
				if !o.Label.about(&in) {
					continue
				}
				blamed[in.ID] = true
				if !o.Label.shown(&in) {
					continue
				}
				if !o.Found {
					o.Found, o.After, o.Cost, o.Title = true, time.Duration(now-o.Label.From)*time.Microsecond, spent[k], in.Title
				}
				o.Severity = max(o.Severity, in.Severity)
			}
		}
	}
	quiet := w.start + int64(w.cfg.Quiet)*day
	for d := range w.cfg.Days {
		seen := map[[16]byte]bool{}
		all := w.Day(d)
		r.Events += len(all)
		started := time.Now()
		for i := range all {
			o := &all[i]
			engine.Observe(o)
			for k := range r.Outcomes {
				if l := &r.Outcomes[k].Label; !r.Outcomes[k].Found && o.Time >= l.From && o.Time < l.To && o.Subject == l.Subject {
					spent[k] += float64(o.CostMicroUSD) / 1e6
				}
			}
			if o.Subject == ([16]byte{}) {
				for _, p := range Partitions() {
					engine.Clock(p, o.Recorded-second) // heartbeats
				}
			}
			take(o.Time)
			if o.Subject != ([16]byte{}) && o.Time >= quiet {
				seen[o.Subject] = true
			}
			alert, ok := book.Observe(o)
			if !ok || o.Time < quiet {
				continue
			}
			matched := false
			for k := range r.Outcomes {
				c := &r.Outcomes[k]
				if l := &c.Label; l.Tenant == alert.Tenant && l.Subject == alert.Subject && alert.Time >= l.From && alert.Time < l.To+hour {
					matched = true
					if !c.Textbook {
						c.Textbook, c.TextbookAfter = true, time.Duration(alert.Time-l.From)*time.Microsecond
					}
				}
			}
			if !matched {
				r.TextbookFalse++
				key := fmt.Sprint(alert.Subject, alert.Time/hour)
				if !hours[key] {
					hours[key] = true
					r.TextbookFalseHours++
				}
			}
		}
		r.Elapsed += time.Since(started)
		r.UserDays += len(seen)
	}
	end := w.start + int64(w.cfg.Days)*day + 2*hour
	for _, p := range Partitions() {
		engine.Clock(p, end)
	}
	take(end)
	for id, in := range last {
		switch {
		case blamed[id] || in.Summarised:
		case in.Status == anomaly.Withdrawn:
			r.Withdrawn++
		case in.Time.UnixMicro() >= quiet && in.Time.UnixMicro() < w.start+int64(w.cfg.Days)*day: // nothing is heard of anybody after the last day
			r.False++
			r.FalseTitles = append(r.FalseTitles, fmt.Sprintf("%s %s %s T=%s", in.First.Format("02 15:04"), in.Severity, in.Kind, in.Title))
		}
	}
	slices.Sort(r.FalseTitles)
	return r, nil
}
