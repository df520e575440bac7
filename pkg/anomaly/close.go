package anomaly

import (
	"bytes"
	"math"
	"slices"
)

// cellOrder is in what order the cells of a minute are closed.
type cellOrder struct {
	key entityKey
	c   *cell
}

// closeThrough closes every minute up to the given one. What happens at a minute happens in order of minutes, whether or not events stand in it: silences,
// ends of incidents, directives. Where nothing happens time is skipped, for a clock may leap by years.
func (e *Engine) closeThrough(through int64) {
	for {
		next := min(e.first, e.nextSilence(), e.found.nextEnd(e.gapMinutes), e.directives.next(), e.pendingEnd, e.choice)
		if next > through {
			break
		}
		e.directives.apply(e, next)
		if m := e.open[next]; m != nil {
			e.closeMinute(m)
		}
		e.closeIntervals(next)
		e.closeSilences(next)
		e.endIncidents(next)
		e.choose(next)
		e.closed = max(e.closed, next)
	}
	e.closed = max(e.closed, through)
	for i := range e.partitions {
		e.partitions[i].settled = e.partitions[i].next
	}
}

// closeMinute decides about everyone who had events in it, finally, and learns from them. Users come first, then agents, tenants and producers.
func (e *Engine) closeMinute(m *minute) {
	e.order = e.order[:0]
	for i, c := range m.cells {
		e.order = append(e.order, cellOrder{e.entities.at(i).key, c})
	}
	slices.SortFunc(e.order, func(a, b cellOrder) int {
		if a.key.kind != b.key.kind {
			return int(a.key.kind) - int(b.key.kind)
		}
		if a.key.tenant != b.key.tenant {
			if a.key.tenant < b.key.tenant { // no order between tenants matters: nothing is shared between them
				return -1
			}
			return 1
		}
		return bytes.Compare(a.key.id[:], b.key.id[:])
	})
	producers := len(e.order)
	for producers > 0 && e.order[producers-1].key.kind == kindProducer {
		producers--
	}
	if producers > 0 {
		e.choice = min(e.choice, (floorDiv(m.number, minutesOfDay)+1)*minutesOfDay-1)
	}
	for i := range e.order[:producers] {
		e.closeCell(m.number, e.order[i].c)
		e.dropCell(e.order[i].c)
	}
	e.closeProducers(m.number, e.order[producers:])
	for i := range e.order[producers:] {
		e.dropCell(e.order[producers+i].c)
	}
	delete(e.open, m.number)
	if e.last == m {
		e.last = nil
	}
	e.spare = append(e.spare, m)
	e.first = math.MaxInt64
	for number := range e.open {
		e.first = min(e.first, number)
	}
}

// closeCell judges, learns and reports an entity's minute.
func (e *Engine) closeCell(number int64, c *cell) {
	ent := e.entities.at(c.entity)
	t := e.byIndex[ent.key.tenant]
	p := &t.peers[ent.key.kind]
	e.roll(t, p, ent, number)
	for r, x := range c.sums {
		ent.hourSums[r] = saturated(ent.hourSums[r], x)
		ent.daySums[r] = saturated(ent.daySums[r], x)
	}
	v := &e.verdict
	e.judge(v, t, ent, c, number, &ent.hourSums, &ent.daySums, &ent.blocks)
	ent.total = max(ent.total, float32(v.total))
	if ent.key.kind != kindSubject && e.found.explained(e, t, ent.key, ent, number, e.found.open) != nil {
		ent.alerted = true // what a user's incident does to its agent is not what the agent is like
	}
	e.matchWindows(v, t, ent, c, number, &ent.hourSums, &ent.daySums)
	e.decide(v, t, ent, c, number, holding{&ent.hold, &ent.held, v.total, e.halfLifeMinutes()})
	if !c.onlyLate() {
		e.learn(t, p, ent, c, number)
	}
	if !c.onlyLate() {
		if ent.minute == noMinute || floorDiv(ent.minute, intervalMinutes) != floorDiv(number, intervalMinutes) || ent.activeToday == 0 {
			ent.activeToday++
		}
		if ent.watch != 0 {
			e.followInterval(c.entity, ent, c, v, number)
		}
	}
	ent.minute = number
	if v.fresh > 0.1 {
		ent.fresh, ent.freshAt = float32(v.fresh), number
	}
	e.touch(c.entity)
}

// onlyLate tells whether no event of the cell counts.
func (c *cell) onlyLate() bool {
	return len(c.sightings) == 0 && c.sums == [numRates]uint64{} && c.most == [numValues]uint64{}
}

// holding keeps what is known from being said again. It is on how strong evidence is: a sum, which goes on where surprises end.
type holding struct {
	hold     *Hysteresis
	held     *int64 // the minute of its last step
	strong   float64
	halfLife float64 // in minutes
}

// decide makes the verdict a part of an incident, or none.
func (e *Engine) decide(v *verdict, t *tenant, ent *entity, c *cell, number int64, by holding) {
	elapsed := 0.0
	if *by.held != noMinute {
		elapsed = float64(number - *by.held)
	}
	*by.held = number
	threshold := e.threshold(ent.key.kind)
	surprise := v.surprise
	if !v.mature || v.total < e.cfg.Least {
		surprise = 0
	}
	strength := 0.0
	if surprise >= threshold {
		strength = by.hold.Step(by.strong, e.cfg.Least, rearm, elapsed, by.halfLife)
		ent.alerted = true
	} else {
		by.hold.Step(0, e.cfg.Least, rearm, elapsed, by.halfLife)
	}
	e.found.add(e, v, t, ent, c, number, surprise >= threshold, strength >= 1)
}

// threshold of a kind of entity. Of agents there are few, so they may be wrong more often each.
func (e *Engine) threshold(k kind) float64 {
	if k == kindAgent {
		return e.cfg.Threshold - fewer
	}
	return e.cfg.Threshold
}

const fewer = 0.5

func (e *Engine) halfLifeMinutes() float64 { return e.cfg.HalfLife.Minutes() }

// rearm is by what factor evidence must exceed what was held of the last.
const rearm = 1.3

// roll ends the hour and the day of the entity if the minute lies in later ones, and learns them.
func (e *Engine) roll(t *tenant, p *peers, ent *entity, number int64) {
	hour, day := int32(floorDiv(number, minutesOfHour)), int32(floorDiv(number, minutesOfDay))
	if ent.since == never32 {
		ent.since = day
		p.entities++
		t.dirty = true
	}
	if p.since == never32 {
		p.since = day
	}
	if hour != ent.hour {
		if ent.hour != never32 {
			for r := range numRates {
				x := rates[r].of(ent.hourSums[r])
				teach(&ent.levels[perHour][r], &p.levels[perHour][r], &p.within[perHour][r], x, memory[perHour], peersMemory[perHour])
			}
		}
		ent.hour, ent.hourSums, ent.said[perHour-1] = hour, [numRates]uint64{}, [numRates]float32{}
	}
	if day != ent.day {
		if ent.day != never32 {
			e.endDay(t, p, ent, day)
		}
		ent.day, ent.daySums, ent.said[perDay-1] = day, [numRates]uint64{}, [numRates]float32{}
	}
	bit := uint32(1) << uint(int64(hour)-24*int64(day))
	ent.hoursToday |= bit
}

// endDay teaches what the entity's day before the next one was: its sums to its levels, its largest deviations to the tails that are shared.
func (e *Engine) endDay(t *tenant, p *peers, ent *entity, next int32) {
	t.dirty = true
	for r := range numRates {
		x := rates[r].of(ent.daySums[r])
		own := &ent.levels[perDay][r]
		teach(own, &p.levels[perDay][r], &p.within[perDay][r], x, memory[perDay], peersMemory[perDay])
		if ent.alerted {
			// What was an incident once is what is usual soon, if it lasts: the level forgets what it was so sure of.
			for w := range numWindows {
				ent.levels[w][r].count = min(ent.levels[w][r].count, relearn[w])
			}
		}
	}
	total := tailScale(float64(ent.total))
	settled := int64(ent.day)-int64(p.since) >= int64(e.cfg.LearnDays)/2
	if !ent.alerted && !settled {
		p.days++
	} else if !ent.alerted {
		for i, b := range ent.blocks {
			p.learnTail(i, ofBlock(b))
		}
		p.total.LearnHalf(total)
		p.total.LearnHalf(total)
		p.days++
	}
	week := weekend(int64(ent.day))
	if ent.hourDays[week] >= 200 { // so that the counts stay within a byte, and the distant past counts less
		ent.hourDays[week] /= 2
		for h := range ent.hours[week] {
			ent.hours[week][h] /= 2
		}
	}
	ent.hourDays[week]++
	p.hourDays[week]++
	for h := range 24 {
		if ent.hoursToday&(1<<h) != 0 {
			ent.hours[week][h]++
			p.hours[week][h]++
		}
	}
	for n := range numNovelties {
		today := float32(min(ent.novelToday[n], 1))
		if ent.days >= settlingDays { // before, nearly everything is new
			ent.novel[n] += (today - ent.novel[n]) / float32(min(ent.days, 20))
			p.novel[n] += (today - p.novel[n]) / float32(min(p.days+1, 1000))
		}
	}
	// Days on which nothing happened count too: a user of one day a week is none whose values form a series.
	ent.active, ent.activeToday = ent.activity(next-1), 0
	if ent.days < math.MaxUint16 {
		ent.days++
	}
	ent.blocks, ent.total, ent.alerted, ent.hoursToday, ent.novelToday = [numTails]uint8{}, 0, false, 0, [numNovelties]uint8{}
}

// relearn is how many windows a level believes to have seen after a day with an incident.
var relearn = [numWindows]uint32{perMinute: 60, perHour: 12, perDay: 3}

// learn takes in the minute.
func (e *Engine) learn(t *tenant, p *peers, ent *entity, c *cell, number int64) {
	for r, x := range c.sums {
		y := rates[r].of(x)
		teach(&ent.levels[perMinute][r], &p.levels[perMinute][r], &p.within[perMinute][r], y, memory[perMinute], peersMemory[perMinute])
	}
	for k, x := range c.most {
		if x > 0 {
			y := values[k].of(x)
			teach(&ent.sizes[k], &p.sizes[k], &p.withinSizes[k], y, sizesMemory, sizesPeersMemory)
		}
	}
	day := uint16(floorDiv(number, minutesOfDay))
	for i := range c.sightings {
		s := &c.sightings[i]
		if !ent.knows(s.what, s.hash) {
			if ent.novelToday[s.what] < math.MaxUint8 {
				ent.novelToday[s.what]++
			}
			if ent.key.kind == kindSubject {
				k := popularKey{s.what, s.hash}
				if n, ok := t.popular[k]; ok || len(t.popular) < maxPopular {
					t.popular[k] = n + 1
				}
			}
		}
		ent.meet(s.what, s.hash, day)
	}
	t.dirty = true
}

// touch notes that an entity's state has changed.
func (e *Engine) touch(i uint32) {
	if ent := e.entities.at(i); !ent.dirty {
		ent.dirty = true
		e.changed = append(e.changed, i)
	}
}
