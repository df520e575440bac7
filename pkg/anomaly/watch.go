package anomaly

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"time"
)

// followed is a sum over an interval that has a Series of its own, for agents, tenants and heavy users.
type followed uint8

const (
	followCalls followed = iota
	followCost
	followFailures // errors and denials
	followPeople   // different users; not for users
	numFollowed
)

const (
	// intervalMinutes is the length of the intervals whose sums are the values of Series. Of 5, 10, 15 and 30 minutes, 5 told simulated incidents apart from
	// ordinary days best (docs/detection.md).
	intervalMinutes = 5
	intervalsOfDay  = minutesOfDay / intervalMinutes
	// seriesDays are how many days of values a Series learns before any is judged: the Monday after the first weekend is still a surprise.
	seriesDays = 7
	// maxFill is how many silent intervals are learned at most when somebody comes back: a week. It bounds the work.
	maxFill = 7 * intervalsOfDay
	// leastExcess is by what factor what is expected must be exceeded: Series of large tenants vary so little that less is seen than anybody wants to hear of.
	leastExcess = 1.5
	// leastPeople is of how many users it takes something to be an agent's or a tenant's own.
	leastPeople = 2
	// leastOwn is what a series must show at least to be set beside the evidence of the interval's minutes.
	leastOwn = 2
	// seriesForget is by what factor sooner than other alerts those of series are forgotten: a new level is what they expect after a day or two anyway.
	seriesForget = 3
)

// follow says how a sum is followed.
type follow struct {
	measure
	// weight is what a Series' surprise counts beside other evidence. A Series is reserved: its tails begin with 40 blocks of a normal past. With these weights
	// what one simulated day in fifty to a hundred has of each is the least evidence that is alerted.
	weight float64
}

var follows = [numFollowed]follow{
	followCalls:    {measure{name: "series.calls", unit: "calls", scale: 1, least: [numWindows]uint64{10}}, 3},
	followCost:     {measure{name: "series.cost", unit: "USD", scale: 10_000, least: [numWindows]uint64{3_000_000}}, 2.5},
	followFailures: {measure{name: "series.failures", unit: "errors and denials", sparse: true, least: [numWindows]uint64{8}}, 2},
	followPeople:   {measure{name: "series.users", unit: "users", sparse: true, least: [numWindows]uint64{4}}, 3},
}

// Entities get Series when they are active in that many intervals of a day, and lose them when it is an eighth of that: at once for agents and tenants that
// are more than a trial, and for users whose intervals are no sequence of sessions. See docs/detection.md.
var leastActive = [kindTenant + 1]float32{kindSubject: 72, kindAgent: 12, kindTenant: 12}

const (
	activityRate = 0.25 // of a day in the running mean of active intervals
	leaving      = 0.125
	staying      = 2.0 // what having been followed counts when there is no room for all
)

// watch is what is kept of an agent, a tenant or a heavy user besides what everybody has. All of it is a function of the events in the closed minutes.
type watch struct {
	entity uint32
	since  int64 // the first interval of the series
	next   int64 // the first that is not in them
	// hold is on what series show: what has alerted by a single request says nothing against it.
	hold Hysteresis
	held int64
	// interval is the one that the following are of; noMinute: none.
	interval      int64
	sums          [numFollowed]uint64
	people        people
	groups        [numGroups]float32 // the strongest evidence of its minutes
	events, spent uint64
	refs          []ref

	series [numFollowed]*Series // nil: there was nothing yet
}

// people counts who is different by linear counting (Whang et al., A linear-time probabilistic counting algorithm, 1990): 512 bits, exact to some percent up to
// a thousand, and at most 3,200. Neither order nor repetition matters.
type people [8]uint64

func (p *people) add(subject *[16]byte) {
	h := (le64(subject[:8]) ^ le64(subject[8:])*3) * 0x9e3779b97f4a7c15 >> 55
	p[h>>6] |= 1 << (h & 63)
}

func (p *people) join(q *people) {
	for i := range p {
		p[i] |= q[i]
	}
}

func (p *people) count() uint64 {
	set := 0
	for _, word := range p {
		set += bits.OnesCount64(word)
	}
	const all = float64(64 * len(people{}))
	return uint64(math.Round(all * math.Log(all/max(all-float64(set), 1))))
}

// seriesConfig is the one of `agentaudit score-series`, with the spread that is believed at least for these values and a longer warm-up. Alerts are not its own:
// its surprise is evidence among other.
func (m *measure) seriesConfig() SeriesConfig {
	c := DefaultSeriesConfig()
	c.Warmup, c.Mute, c.LeastScale = intervalsOfDay, 0, m.floor()
	return c
}

// followInterval adds a closed minute to the entity's interval.
func (e *Engine) followInterval(i uint32, ent *entity, c *cell, v *verdict, number int64) {
	w := e.watches[ent.watch]
	if interval := floorDiv(number, intervalMinutes); w.interval != interval {
		*w = watch{entity: i, since: w.since, next: w.next, hold: w.hold, held: w.held, interval: interval, refs: w.refs[:0], series: w.series}
		e.pend(i, interval)
	}
	w.sums[followCalls] = saturated(w.sums[followCalls], c.sums[rateCalls])
	w.sums[followCost] = saturated(w.sums[followCost], c.sums[rateCost])
	w.sums[followFailures] = saturated(w.sums[followFailures], saturated(c.sums[rateErrors], c.sums[rateDenials]))
	w.people.join(&c.people)
	for g := range v.groups {
		w.groups[g] = max(w.groups[g], float32(v.groups[g]))
	}
	w.events, w.spent = saturated(w.events, c.events), saturated(w.spent, c.spent)
	for _, r := range c.refs {
		w.refs = showFirst(w.refs, r, cellRefs)
	}
}

// pend notes that an entity's interval is to be closed.
func (e *Engine) pend(i uint32, interval int64) {
	e.pending = append(e.pending, i)
	e.pendingEnd = min(e.pendingEnd, interval*intervalMinutes+intervalMinutes-1)
}

// closeIntervals decides about everyone who was active in an interval that ends with the minute, in the order in which minutes are closed.
func (e *Engine) closeIntervals(number int64) {
	if e.pendingEnd > number {
		return
	}
	slices.SortFunc(e.pending, func(a, b uint32) int {
		x, y := e.entities.at(a).key, e.entities.at(b).key
		return cmp.Or(cmp.Compare(x.kind, y.kind), compareKeys(e, x, y))
	})
	later := e.pending[:0]
	e.pendingEnd = math.MaxInt64
	for _, i := range e.pending {
		ent := e.entities.at(i)
		w := e.watches[ent.watch]
		if end := w.interval*intervalMinutes + intervalMinutes - 1; end > number {
			later = append(later, i)
			e.pendingEnd = min(e.pendingEnd, end)
			continue
		}
		e.closeInterval(ent, w, number)
		e.touch(i)
	}
	e.pending = later
}

// closeInterval judges an interval by the entity's series, which learn it, and makes what they show a part of an incident, together with the strongest evidence
// of the interval's minutes.
func (e *Engine) closeInterval(ent *entity, w *watch, number int64) {
	t := e.byIndex[ent.key.tenant]
	p := &t.peers[ent.key.kind]
	v := &e.verdict
	*v = verdict{clues: v.clues[:0], begun: w.interval * intervalMinutes, inInterval: true}
	if ent.key.kind != kindSubject {
		w.sums[followPeople] = w.people.count()
	}
	// What one or two users do is judged as theirs. Where events have no users, there is nobody else to judge.
	single := w.sums[followPeople] > 0 && w.sums[followPeople] < leastPeople
	from := max(w.next, w.interval-maxFill)
	for f, x := range w.sums {
		s := w.series[f]
		if s == nil {
			if x == 0 {
				continue
			}
			s = new(Series)
			w.series[f] = s
		}
		m, c := &follows[f], &e.following[f]
		for i := from; i < w.interval; i++ {
			s.Step(c, intervalSeconds(i), m.of(0))
		}
		y := m.of(x)
		score := s.Step(c, intervalSeconds(w.interval), y)
		if single && ent.key.kind != kindSubject || x < m.least[perMinute] || y <= score.Expected || float64(x) < leastExcess*m.back(score.Expected) {
			continue
		}
		if worth := m.weight * score.Surprise; worth >= noticed {
			v.clues = append(v.clues, clue{
				group: groupSeries, followed: followed(f), x: x, usual: score.Expected, scale: (score.High - score.Expected) / 3, score: min(worth, MaxSurprise),
				low: score.Low, begun: v.begun,
			})
		}
	}
	w.next = w.interval + 1
	e.suppressed(v, ent, number, 0)
	own := 0.0 // the strongest that a series shows
	for i := range v.clues {
		own = max(own, v.clues[i].score)
	}
	if own >= leastOwn && w.interval-w.since >= seriesDays*intervalsOfDay {
		day := floorDiv(number, minutesOfDay)
		// How many days of others there were does not matter: the series have a past of their own.
		v.mature = p.since != never32 && day-int64(p.since) >= int64(e.cfg.LearnDays)
		v.sum(ent, number, &w.groups)
		// A Series tells by its own past how rare something is; the tail of all days' evidence, which knows of entities that differ, can add to that.
		v.surprise = max(p.total.Surprise(tailScale(v.total)), e.threshold(ent.key.kind)*own/max(e.cfg.Least, noticed))
		if v.mature {
			ent.total = max(ent.total, float32(v.total))
		}
		c := &e.intervalCell
		c.reset(w.entity)
		c.refs = append(c.refs[:0], w.refs...)
		if e.found.open[ent.key] == nil {
			c.events, c.spent = w.events, w.spent // otherwise they are counted
		}
		if ent.key.kind != kindSubject && e.found.explained(e, t, ent.key, ent, number, e.found.open) != nil {
			ent.alerted = true
		}
		e.decide(v, t, ent, c, number, holding{&w.hold, &w.held, own, e.halfLifeMinutes() / seriesForget})
	}
	w.interval, w.refs = noMinute, w.refs[:0]
}

func intervalSeconds(interval int64) int64 {
	return interval * intervalMinutes * int64(time.Minute/time.Second)
}

// activity is the running mean, as of a day, of how many intervals of a day the entity is active in.
func (ent *entity) activity(day int32) float32 {
	if ent.day == never32 || day < ent.day {
		return 0
	}
	return ent.activeWithToday() * float32(math.Pow(1-activityRate, float64(day)-float64(ent.day)))
}

func (ent *entity) activeWithToday() float32 {
	if ent.days == 0 {
		return float32(ent.activeToday)
	}
	return ent.active + (float32(ent.activeToday)-ent.active)*activityRate
}

// candidate is one who may have Series.
type candidate struct {
	entity uint32
	rank   float32
}

// choose decides, at the end of a day on which anything happened, who has Series: those who are active enough, of each kind the most active ones that there is
// room for. It looks at everybody, which takes some 0.1 s a million.
func (e *Engine) choose(number int64) {
	if e.choice > number {
		return
	}
	e.choice = math.MaxInt64
	e.forgetProducers(number)
	day := int32(floorDiv(number, minutesOfDay))
	var candidates [kindTenant + 1][]candidate
	for i := range e.entities.used {
		ent := e.entities.at(i)
		if !ent.inUse || ent.key.kind > kindTenant {
			continue
		}
		rank, least := ent.activity(day), leastActive[ent.key.kind]
		if ent.watch != 0 {
			least *= leaving
		}
		switch {
		case rank >= least && ent.watch != 0:
			candidates[ent.key.kind] = append(candidates[ent.key.kind], candidate{i, staying * rank})
		case rank >= least:
			candidates[ent.key.kind] = append(candidates[ent.key.kind], candidate{i, rank})
		case ent.watch != 0:
			e.unwatch(i)
			e.touch(i)
		}
	}
	for k := range candidates {
		all := candidates[k]
		if room := e.cfg.MaxFollowed; len(all) > room {
			slices.SortFunc(all, func(a, b candidate) int {
				return cmp.Or(cmp.Compare(b.rank, a.rank), compareKeys(e, e.entities.at(a.entity).key, e.entities.at(b.entity).key))
			})
			for _, c := range all[room:] {
				e.unwatch(c.entity)
				e.touch(c.entity)
			}
			all = all[:room]
		}
		for _, c := range all {
			if e.entities.at(c.entity).watch == 0 {
				e.watch(c.entity, floorDiv(number+1, intervalMinutes))
				e.touch(c.entity)
			}
		}
	}
}

// watch gives an entity Series, from an interval on.
func (e *Engine) watch(i uint32, next int64) *watch {
	ent := e.entities.at(i)
	w := &watch{entity: i, since: next, next: next, held: noMinute, interval: noMinute}
	if n := len(e.freeWatches); n > 0 {
		ent.watch, e.freeWatches = e.freeWatches[n-1], e.freeWatches[:n-1]
		e.watches[ent.watch] = w
	} else {
		e.watches = append(e.watches, w)
		ent.watch = uint32(len(e.watches) - 1)
	}
	return w
}

// unwatch takes an entity's Series away.
func (e *Engine) unwatch(i uint32) {
	ent := e.entities.at(i)
	if ent.watch == 0 {
		return
	}
	e.watches[ent.watch] = nil
	e.freeWatches = append(e.freeWatches, ent.watch)
	ent.watch = 0
	e.pending = slices.DeleteFunc(e.pending, func(j uint32) bool { return j == i })
}

// fields goes through the state of a watch.
func (w *watch) fields(x *codec) {
	x.i64(&w.since)
	x.i64(&w.next)
	x.f32(&w.hold.hold)
	x.i64(&w.held)
	open := w.interval != noMinute
	if x.flag(&open); open {
		x.i64(&w.interval)
		for f := range w.sums {
			x.u64(&w.sums[f], math.MaxUint64)
		}
		for k := range w.people {
			x.u64(&w.people[k], math.MaxUint64)
		}
		for g := range w.groups {
			x.f32(&w.groups[g])
		}
		x.u64(&w.events, math.MaxUint64)
		x.u64(&w.spent, math.MaxUint64)
		n := x.length(len(w.refs), cellRefs)
		if x.decode {
			w.refs = make([]ref, n)
		}
		for i := range n {
			w.refs[i].fields(x)
		}
	} else {
		w.interval = noMinute
	}
	const bound = math.MaxInt64 / microsPerMinute / intervalMinutes
	if x.decode && x.err == nil && (w.since < -bound || w.since > bound || w.next < -bound || w.next > bound || open && (w.interval < -bound || w.interval > bound || w.interval < w.next)) {
		x.fail(errInterval)
	}
	for f := range w.series {
		x.series(&w.series[f])
	}
}
