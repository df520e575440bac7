package anomaly

import (
	"math"
	"slices"

	"github.com/google/uuid"
)

// DirectiveKind is what a person has said about an incident or an entity.
type DirectiveKind uint8

// What can be said.
const (
	// Acknowledge: somebody is at it. Of the incident only what makes it graver is said from now on.
	Acknowledge DirectiveKind = iota + 1
	// FalsePositive raises the bar for the entity and the signals: for the first time by a factor of 30 in probability, then by more; for 90 days.
	FalsePositive
	// Suppress: nothing is said of the entity and the signals until then. Snoozing an incident is suppressing all signals of its entity for a while.
	Suppress
	// Lift ends what FalsePositive and Suppress have begun.
	Lift
)

// Directive is feedback, or a suppression. It takes effect in the minutes from At on, so that a replay has it at the same place.
type Directive struct {
	Kind DirectiveKind
	// At and Until are record times in microseconds since 1970. Until is for Suppress.
	At, Until int64
	// Incident is for Acknowledge.
	Incident uuid.UUID
	// Whom it is about.
	Tenant  string
	Of      EntityKind
	Subject [16]byte
	Entity  string
	// Signals are names; a name followed by a dot and * stands for all below it. None: all.
	Signals []string
}

const (
	// falsePositiveRaise is what one false positive takes off a signal's surprise, and mostRaise how much all together.
	falsePositiveRaise = 1.5
	mostRaise          = 6
	falsePositiveLasts = 90 * minutesOfDay
	// maxBars bounds what is kept of one entity.
	maxBars = 64
)

// bar is what holds a signal of an entity back.
type bar struct {
	signal string
	until  int64   // minute
	raise  float64 // infinite: suppressed
}

// directives are those that are waiting for their minute, and the bars that they have set.
type directives struct {
	waiting []Directive
	bars    map[entityKey][]bar
}

// Direct takes feedback in.
func (e *Engine) Direct(d Directive) {
	d.At = min(max(d.At, -maxMicros), maxMicros)
	d.Until = min(max(d.Until, -maxMicros), maxMicros)
	d.Signals = slices.Clone(d.Signals)
	// What comes too late for its minute takes effect in the next.
	if e.closed != noMinute {
		d.At = max(d.At, (e.closed+1)*microsPerMinute)
	}
	i, _ := slices.BinarySearchFunc(e.directives.waiting, d, func(a, b Directive) int {
		if a.At <= b.At {
			return -1
		}
		return 1
	})
	e.directives.waiting = slices.Insert(e.directives.waiting, i, d)
}

func (d *directives) next() int64 {
	if len(d.waiting) == 0 {
		return math.MaxInt64
	}
	return floorDiv(d.waiting[0].At, microsPerMinute)
}

// apply carries out what has reached its minute.
func (d *directives) apply(e *Engine, number int64) {
	for len(d.waiting) > 0 && floorDiv(d.waiting[0].At, microsPerMinute) <= number {
		e.direct(&d.waiting[0], number)
		d.waiting = d.waiting[1:]
	}
}

func (e *Engine) direct(d *Directive, number int64) {
	if d.Kind == Acknowledge {
		for _, in := range e.found.open {
			if in.ID == d.Incident {
				in.acknowledged = true
				e.found.touched(in)
			}
		}
		return
	}
	t := e.tenant(d.Tenant)
	if t == nil {
		return
	}
	key, ok := keyOf(t.index, d.Of, d.Subject, d.Entity)
	if !ok {
		return
	}
	i, ok := e.index[key]
	if !ok {
		if i, ok = e.newEntity(key, d.Entity); !ok {
			return
		}
	}
	bars := d.change(e.directives.bars[key], number)
	if e.directives.bars == nil {
		e.directives.bars = map[entityKey][]bar{}
	}
	if e.directives.bars[key] = bars; len(bars) == 0 {
		delete(e.directives.bars, key)
	}
	e.touch(i)
}

// change returns the bars of whom the directive is about, after it.
func (d *Directive) change(bars []bar, number int64) []bar {
	bars = slices.DeleteFunc(slices.Clone(bars), func(b bar) bool { return b.until <= number })
	signals := d.Signals
	if len(signals) == 0 {
		signals = []string{""}
	}
	for _, signal := range signals {
		at := slices.IndexFunc(bars, func(b bar) bool { return b.signal == signal && math.IsInf(b.raise, 1) == (d.Kind == Suppress) })
		switch {
		case d.Kind == Lift:
			bars = slices.DeleteFunc(bars, func(b bar) bool { return signal == "" || b.signal == signal })
		case d.Kind == Suppress && at >= 0:
			bars[at].until = floorDiv(d.Until, microsPerMinute)
		case d.Kind == Suppress && len(bars) < maxBars:
			bars = append(bars, bar{signal, floorDiv(d.Until, microsPerMinute), math.Inf(1)})
		case d.Kind == FalsePositive && at >= 0:
			bars[at].raise = min(bars[at].raise+falsePositiveRaise, mostRaise)
			bars[at].until = number + falsePositiveLasts
		case d.Kind == FalsePositive && len(bars) < maxBars:
			bars = append(bars, bar{signal, number + falsePositiveLasts, falsePositiveRaise})
		}
	}
	return bars
}

// barsOf returns what holds signals of an entity back in a minute. Of a minute that is still open that is also what waits for it to close: who asked for silence
// is not told meanwhile.
func (e *Engine) barsOf(ent *entity, number int64) []bar {
	bars := e.directives.bars[ent.key]
	for i := range e.directives.waiting {
		d := &e.directives.waiting[i]
		if floorDiv(d.At, microsPerMinute) > number {
			break
		}
		if d.Kind == Acknowledge || d.Tenant != e.byIndex[ent.key.tenant].name {
			continue
		}
		if key, ok := keyOf(ent.key.tenant, d.Of, d.Subject, d.Entity); ok && key == ent.key {
			bars = d.change(bars, number)
		}
	}
	return bars
}

// keyOf finds who is meant.
func keyOf(tenant uint32, of EntityKind, subject [16]byte, name string) (entityKey, bool) {
	switch of {
	case EntitySubject:
		return entityKey{tenant, kindSubject, subject}, true
	case EntityAgent:
		return entityKey{tenant, kindAgent, nameID(name)}, true
	case EntityTenant:
		return entityKey{tenant, kindTenant, [16]byte{}}, true
	case EntityProducer:
		return entityKey{tenant, kindProducer, nameID(name)}, true
	}
	return entityKey{}, false
}

// matches tells whether a bar is about a signal.
func (b *bar) matches(signal string) bool {
	if b.signal == "" || b.signal == signal {
		return true
	}
	n := len(b.signal) - 1
	return n > 0 && b.signal[n] == '*' && len(signal) >= n && signal[:n] == b.signal[:n]
}

// suppressed takes out of a verdict, from one clue on, what people do not want to hear.
func (e *Engine) suppressed(v *verdict, ent *entity, number int64, from int) {
	bars := e.barsOf(ent, number)
	if len(bars) == 0 {
		return
	}
	kept := v.clues[:from]
	for _, c := range v.clues[from:] {
		raise, signal := 0.0, c.signal()
		for i := range bars {
			if b := &bars[i]; number < b.until && b.matches(signal) {
				raise += b.raise
			}
		}
		if c.score -= raise; raise == 0 || c.score >= noticed {
			kept = append(kept, c)
		}
	}
	v.clues = kept
}
