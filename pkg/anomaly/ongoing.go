package anomaly

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// ongoing is an incident that may still grow.
type ongoing struct {
	Incident
	key         entityKey
	firstMinute int64
	lastMinute  int64
	refs        []ref
	// What happened since the last evidence belongs to the incident if more evidence follows.
	sinceEvents uint64
	sinceMicros uint64
	micros      uint64 // cost
	// What was last said of it.
	said         bool
	saidSeverity Severity
	saidSignals  int
	saidEvents   uint64
	unsaid       bool // something has changed since, however little
	acknowledged bool
	counted      []counted // of an early one
}

// counted is what of an early incident's count is of one minute, which is looked at again as it grows.
type counted struct {
	minute         int64
	events, micros uint64
}

// recount notes what is counted of a minute now, and returns what was before. Minutes through closed grow no more.
func (in *ongoing) recount(now counted, closed int64) (before counted) {
	if i := slices.IndexFunc(in.counted, func(c counted) bool { return c.minute == now.minute }); i >= 0 {
		before, in.counted[i] = in.counted[i], now
		return before
	}
	in.counted = append(slices.DeleteFunc(in.counted, func(c counted) bool { return c.minute <= closed }), now)
	return counted{}
}

// news tells whether it has changed by enough to be said again: what was said last has four of five of its events, or nearly.
func (in *ongoing) news() bool {
	return !in.said || in.Severity > in.saidSeverity || !in.acknowledged && (len(in.Signals) > in.saidSignals || in.EventCount-in.EventCount/5 > in.saidEvents)
}

// begin fills in who it is about.
func (in *ongoing) begin(e *Engine, t *tenant, ent *entity, number int64) {
	in.ID = incidentID(t.name, in.key, number)
	in.Tenant, in.Kind = t.name, kindNames[in.key.kind]
	switch in.key.kind {
	case kindSubject:
		in.Subject = uuid.UUID(in.key.id)
	case kindAgent, kindProducer:
		in.Entity = e.names.list[ent.name]
	}
	if in.key.kind == kindAgent {
		in.Agents = []string{in.Entity}
	}
	in.First = minuteTime(number + 1)
	in.Last = minuteTime(number)
}

// extend adds a minute's evidence.
func (in *ongoing) extend(e *Engine, v *verdict, t *tenant, ent *entity, c *cell, number int64) {
	in.unsaid = true
	in.lastMinute = max(in.lastMinute, number)
	in.EventCount = saturated(saturated(in.EventCount, in.sinceEvents), c.events)
	in.micros = saturated(saturated(in.micros, in.sinceMicros), c.spent)
	in.CostUSD = float64(in.micros) / 1e6
	in.sinceEvents, in.sinceMicros = 0, 0
	in.Severity = max(in.Severity, v.severity(e.threshold(ent.key.kind)), Low)
	since := minuteTime(number)
	for _, r := range c.refs {
		in.showRef(r)
	}
	for i := range v.clues {
		if k := &v.clues[i]; k.ref != (ref{}) {
			in.showRef(k.ref)
		}
		k := &v.clues[i]
		if k.group == groupRate && k.window != perMinute {
			ent.said[k.window-1][k.rate] = float32(k.x)
		}
	}
	in.window(number)
	if v.inInterval {
		in.window(v.begun)
	}
	in.Time = in.First
	in.Signals = mergeSignals(in.Signals, v.signals(nil, &t.peers[min(in.key.kind, kindTenant)], since))
	for i := range c.sightings {
		s := &c.sightings[i]
		if s.name == "" {
			continue
		}
		switch s.what {
		case newAgent:
			in.Agents = addName(in.Agents, s.name)
		case newTool:
			in.Tools = addName(in.Tools, s.name)
		}
	}
	in.title()
}

// window widens it to the evidence.
func (in *ongoing) window(number int64) {
	if start := minuteTime(number); start.Before(in.First) {
		in.First = start
		if len(in.refs) > 0 {
			if first := time.UnixMicro(in.refs[0].time).UTC(); first.After(start) && first.Before(minuteTime(number+1)) {
				in.First = first
			}
		}
	}
	if end := minuteTime(number + 1); end.After(in.Last) {
		in.Last = end
	}
}

// showRef keeps the first events, in order of time.
func (in *ongoing) showRef(r ref) {
	i, found := slices.BinarySearchFunc(in.refs, r, ref.compare)
	if found || i == MaxEvents {
		return
	}
	if len(in.refs) == MaxEvents {
		in.refs = in.refs[:MaxEvents-1]
	}
	in.refs = slices.Insert(in.refs, i, r)
	in.writeEvents()
}

func (in *ongoing) writeEvents() {
	in.Events = in.Events[:0:0]
	for _, r := range in.refs {
		in.Events = append(in.Events, uuid.UUID(r.id))
	}
}

// join adds what another entity shows of the same cause.
func (in *ongoing) join(v *verdict, p *peers, of kind, number int64) {
	signals := v.signals(nil, p, minuteTime(number))
	for i := range signals {
		signals[i].Name = string(kindNames[of]) + "." + signals[i].Name
	}
	in.Signals = mergeSignals(in.Signals, signals)
	in.unsaid = true
}

// mergeSignals keeps, of each name, the strongest, with the time of the first; at most MaxSignals, by falling score.
func mergeSignals(have, more []Signal) []Signal {
	have = slices.Clone(have)
	for _, s := range more {
		i := slices.IndexFunc(have, func(h Signal) bool { return h.Name == s.Name })
		switch {
		case i < 0:
			have = append(have, s)
		case s.Score >= have[i].Score:
			s.Since = have[i].Since
			have[i] = s
		}
	}
	slices.SortFunc(have, func(a, b Signal) int {
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return have[:min(len(have), MaxSignals)]
}

// maxNames of agents and tools stand in an incident.
const maxNames = 8

func addName(names []string, name string) []string {
	i, found := slices.BinarySearch(names, name)
	if found || len(names) == maxNames {
		return names
	}
	return slices.Insert(slices.Clone(names), i, name)
}

// title says the strongest signal in one line.
func (in *ongoing) title() {
	who := "The tenant"
	switch in.Kind {
	case EntitySubject:
		who = "A user"
		if len(in.Agents) > 0 {
			who += " with " + in.Agents[0]
		}
	case EntityAgent:
		who = "Agent " + in.Entity
	case EntityProducer:
		who = "Producer " + in.Entity
	}
	if len(in.Signals) == 0 {
		return
	}
	top := in.Signals[0]
	in.Title = fmt.Sprintf("%s: %s (expected: %s)", who, top.Observed, top.Expected)
	if more := len(in.Signals) - 1; more > 0 {
		in.Title += fmt.Sprintf(", and %d more", more)
	}
}
