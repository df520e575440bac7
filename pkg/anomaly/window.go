package anomaly

import (
	"cmp"
	"math"
	"time"
)

var rateOfFeature = [...]rate{
	WindowEvents: rateEvents, WindowCalls: rateCalls, WindowErrors: rateErrors, WindowDenials: rateDenials, WindowLogins: rateLogins,
	WindowFailedLogins: rateFailedLogins, WindowRateLimits: rateLimited, WindowWrites: rateWrites, WindowSends: rateSends, WindowGrants: rateGrants,
	WindowRows: rateRows, WindowInputTokens: rateInput, WindowOutputTokens: rateOutput, WindowTokens: rateTokens, WindowCostUSD: rateCost,
}

// WindowView is what one entity has done in a window that holds the minute that is looked at, and what it usually does. It is valid during the call that it
// is handed to.
type WindowView struct {
	Of EntityKind
	// Over is a minute, an hour or a day; windows begin with those of UTC.
	Over time.Duration

	tenant, name     string
	ent              *entity
	c                *cell
	window           window
	day              uint16
	hourSums, allDay *[numRates]uint64
}

// Tenant returns whose events they are.
func (v *WindowView) Tenant() string { return v.tenant }

// Entity returns the id of an agent or producer, "" for others.
func (v *WindowView) Entity() string { return v.name }

// Value returns the feature in the window so far. Different tools, networks and agents are those of the minute for windows of a minute and an hour, and those
// of the day for windows of a day.
func (v *WindowView) Value(f WindowFeature) float64 {
	if int(f) < len(rateOfFeature) {
		r := rateOfFeature[f]
		x := v.c.sums[r]
		switch v.window {
		case perHour:
			x = v.hourSums[r]
		case perDay:
			x = v.allDay[r]
		}
		if r == rateCost {
			return float64(x) / 1e6
		}
		return float64(x)
	}
	switch f {
	case WindowTools:
		return v.different(newTool)
	case WindowNetworks:
		return v.different(newNetwork)
	case WindowAgents:
		return v.different(newAgent)
	case WindowNewTools:
		return v.unknown(newTool)
	case WindowNewNetworks:
		return v.unknown(newNetwork)
	case WindowNewAgents:
		return v.unknown(newAgent)
	case WindowKnownTools:
		return float64(v.ent.knownN[newTool])
	case WindowKnownNetworks:
		return float64(v.ent.knownN[newNetwork])
	case WindowKnownAgents:
		return float64(v.ent.knownN[newAgent])
	}
	return 0
}

func (v *WindowView) different(n novelty) float64 {
	count := v.unknown(n)
	from, _ := n.slot()
	for i := from; i < from+int(v.ent.knownN[n]); i++ {
		if v.window == perDay && v.ent.knownDay[i] == v.day {
			count++
		} else if v.window != perDay && v.c.has(n, v.ent.knownHash[i]) {
			count++
		}
	}
	return count
}

func (v *WindowView) unknown(n novelty) (count float64) {
	for i := range v.c.sightings {
		if s := &v.c.sightings[i]; s.what == n && !v.ent.knows(n, s.hash) {
			count++
		}
	}
	return count
}

func (c *cell) has(n novelty, hash uint32) bool {
	for i := range c.sightings {
		if c.sightings[i].what == n && c.sightings[i].hash == hash {
			return true
		}
	}
	return false
}

// Baseline returns the mean and the standard deviation of the feature over the entity's earlier windows of the same length that had events, and how many
// windows that were. They are recovered from the logarithms that baselines are kept as, on the assumption that amounts are log-normal.
func (v *WindowView) Baseline(f WindowFeature) (mean, std, n float64) {
	if int(f) >= len(rateOfFeature) {
		return 0, 0, 0
	}
	r := rateOfFeature[f]
	l := &v.ent.levels[v.window][r]
	if n = float64(l.Count()); n == 0 {
		return 0, 0, 0
	}
	m := &rates[r]
	location, scale := l.Location(), l.Scale()
	if m.sparse {
		mean = max(location*location/4-0.375+scale*scale/4, 0)
		std = max(location, 1) * scale
	} else {
		s2 := min(scale*scale, 20)
		mean = (math.Exp(location+s2/2) - 1) * m.scale
		std = math.Exp(location+s2/2) * math.Sqrt(math.Expm1(s2)) * m.scale
	}
	if r == rateCost {
		mean, std = mean/1e6, std/1e6
	}
	return mean, std, n
}

// matchWindows asks the rules about the windows of an entity, and adds what matches to the verdict. The sums are those of the hour and the day so far.
func (e *Engine) matchWindows(v *verdict, t *tenant, ent *entity, c *cell, number int64, hourSums, daySums *[numRates]uint64) {
	if e.cfg.Rules == nil {
		return
	}
	before := len(v.clues)
	for w, over := range [numWindows]time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
		e.view = WindowView{Of: kindNames[ent.key.kind], Over: over, tenant: t.name, name: e.names.list[ent.name], ent: ent, c: c, window: window(w),
			day: uint16(floorDiv(number, minutesOfDay)), hourSums: hourSums, allDay: daySums}
		e.cfg.Rules.Windows(&e.view, e.fired)
	}
	if len(v.clues) > before {
		e.suppressed(v, ent, number, before)
		v.alone = 0
		for i := range v.clues {
			if k := &v.clues[i]; k.group == groupRule {
				v.alone = max(v.alone, k.grave)
			}
		}
	}
}

// fire adds a rule that has matched to the verdict.
func (e *Engine) fire(number int, observed string) {
	if r, ok := e.cfg.Rules.Rule(number); ok {
		e.verdict.clues = append(e.verdict.clues, clue{group: groupRule, name: "rule." + r.ID, wanted: r.Expected, pretty: cmp.Or(observed, r.Title), score: scoreOf(r.Severity), grave: r.Severity})
	}
}
