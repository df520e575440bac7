package anomaly

import (
	"slices"
	"time"
)

// foresee looks at a minute that is still open, and says what is likely an incident at once.
func (e *Engine) foresee(m *minute, t *tenant, c *cell, at int64) {
	ent := e.entities.at(c.entity)
	f := &e.found
	if in := f.open[ent.key]; in != nil && m.number-in.lastMinute <= e.gapMinutes && in.Severity == Critical {
		return
	}
	l := &e.lives[ent.live]
	hourSums, daySums := &c.sums, &c.sums
	if int64(l.hour) == floorDiv(m.number, minutesOfHour) {
		hourSums = &l.hourSums
	}
	if int64(l.day) == floorDiv(m.number, minutesOfDay) {
		daySums = &l.daySums
	}
	v := &e.verdict
	e.judge(v, t, ent, c, m.number, hourSums, daySums, nil)
	e.matchWindows(v, t, ent, c, m.number, hourSums, daySums)
	threshold := e.threshold(ent.key.kind)
	evidence := v.mature && v.total >= e.cfg.Least && v.surprise >= threshold
	if evidence {
		hold, elapsed := ent.hold, 0.0
		if ent.held != noMinute {
			elapsed = float64(max(m.number-ent.held, 0))
		}
		evidence = hold.Step(v.total, e.cfg.Least, rearm, elapsed, e.halfLifeMinutes()) >= 1 || f.open[ent.key] != nil
	}
	if !evidence && v.alone == 0 {
		return
	}
	severity := max(v.severity(threshold), Low)
	early := f.early[ent.key]
	if in := f.open[ent.key]; in != nil && early == nil && severity <= in.Severity {
		return // it goes on, and is as grave as it was
	}
	if early == nil {
		if f.explained(e, t, ent.key, ent, m.number, f.early) != nil || f.explained(e, t, ent.key, ent, m.number, f.open) != nil {
			return
		}
		early = &ongoing{key: ent.key, firstMinute: m.number, lastMinute: m.number}
		early.begin(e, t, ent, m.number)
		if in := f.open[ent.key]; in != nil {
			// The same incident, grown graver in minutes that are open.
			early.Incident, early.firstMinute, early.refs, early.micros = in.Incident, in.firstMinute, slices.Clone(in.refs), in.micros
			early.saidSeverity = in.saidSeverity
		}
		f.early[ent.key] = early
		f.ends = noMinute
		if in := f.open[ent.key]; in == nil || in.Summarised && severity == Critical {
			early.Summarised = e.beyondBudget(t, severity, m.number)
		}
	}
	if m.number != early.lastMinute {
		f.ends = noMinute
	}
	before := early.recount(counted{m.number, c.events, c.spent}, e.closed)
	said, raised := ent.said, time.UnixMicro(at).UTC()
	if early.said {
		raised = early.Time
	}
	grave := early.Severity == Critical
	early.extend(e, v, t, ent, c, m.number)
	if early.Summarised && early.Severity == Critical && !grave {
		early.Summarised = e.beyondBudget(t, Critical, m.number)
	}
	ent.said, early.Time = said, raised
	early.EventCount -= min(before.events, early.EventCount)
	early.micros -= min(before.micros, early.micros)
	early.CostUSD = float64(early.micros) / 1e6
	if early.news() {
		early.Status = Provisional
		f.hand(early)
		if in := f.open[ent.key]; in != nil && in.ID == early.ID {
			in.Revision, in.unsaid = early.Revision, true
		}
	}
}
