package anomaly

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Resting is what Rules may have besides: after an incident that a rule was part of, the rule is not said again of the same entity for a while.
type Resting interface {
	// RestsFor returns how long, from the last minute of the incident on, by the rule's id; 0: not at all, or there is no such rule any more.
	RestsFor(id string) time.Duration
}

// rest holds back the rules of an incident that has ended, with bars as people set them: they are kept and restored like those, and go with the person.
// Bars set here begin after the incident, so they change nothing of it.
func (e *Engine) rest(in *ongoing) {
	rules, ok := e.cfg.Rules.(Resting)
	if !ok {
		return
	}
	i, ok := e.index[in.key]
	if !ok {
		return // erased
	}
	ended := in.lastMinute + e.gapMinutes
	bars := slices.DeleteFunc(slices.Clone(e.directives.bars[in.key]), func(b bar) bool { return b.until <= ended })
	changed := false
	for k := range in.Signals {
		signal := in.Signals[k].Name
		id, isRule := strings.CutPrefix(signal, "rule.")
		if !isRule {
			continue
		}
		until := in.lastMinute + int64(rules.RestsFor(id)/time.Minute)
		if until <= ended {
			continue
		}
		at := slices.IndexFunc(bars, func(b bar) bool { return b.signal == signal && math.IsInf(b.raise, 1) })
		switch {
		case at >= 0 && bars[at].until >= until:
			continue
		case at >= 0:
			bars[at].until = until
		case len(bars) < maxBars:
			bars = append(bars, bar{signal, until, math.Inf(1)})
		default:
			continue
		}
		changed = true
	}
	if !changed {
		return
	}
	if e.directives.bars == nil {
		e.directives.bars = map[entityKey][]bar{}
	}
	e.directives.bars[in.key] = bars
	e.touch(i)
}
