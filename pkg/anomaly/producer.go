package anomaly

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// producer is what is kept of a sending process and a tenant whose events it sends: for how long it is silent at most, and, in one of its tenants, how far its
// numbers have been seen without a gap.
type producer struct {
	key  entityKey
	name string
	// From base to most, seen numbers were seen; none: they are kept in another tenant. A process that begins again at 0 is another one.
	base, most, seen uint64
	// missing is how many were missing at the end of the last minute, and gapSince since when; reported is how many of them were said.
	missing, reported uint64
	gapSince          int64
	first, last       int64 // active minutes; last is the one silence is counted from
	minutes           uint32
	// quiet is the longest silence so far, in minutes, and the longest but one, so that a single outage does not make long silences normal.
	quiet, quietNext int64
	silent           bool // was said
	anew             bool // its numbers begin with its next minute
	dirty            bool
}

const (
	// gapPatience is for how many minutes a number may be missing: events overtake each other.
	gapPatience = 6
	// A producer's silence is judged after denseDays days if it never paused for longer than densePause minutes, otherwise after sparseDays: then it has shown
	// a weekend.
	denseDays, sparseDays = 2, 9
	densePause            = 60
	leastSilence          = 15
	// densely and sparsely are by what factor its longest silence must be exceeded.
	densely, sparsely = 4.0, 1.5
	// noSilence: nothing that could be silent is known.
	noSilence = math.MaxInt64
	leastSeen = 100 // active minutes
	// producerKept is for how many minutes a producer is remembered that sends nothing, and of which nothing is expected any more. Each release of a service has
	// new ids, and there is room for so many.
	producerKept = 30 * minutesOfDay
)

// produced adds an event to the cell of its producer.
func (e *Engine) produced(m *minute, t *tenant, o *Observation) {
	key := entityKey{t.index, kindProducer, nameID(o.Producer)}
	i, ok := e.index[key]
	if !ok {
		if i, ok = e.newEntity(key, o.Producer); !ok {
			e.stats.Unwatched++
			return
		}
	}
	c := e.cellOf(m, i)
	c.events++
	c.seqLeast = min(c.seqLeast, o.ProducerSeq)
	c.seqMost = max(c.seqMost, o.ProducerSeq)
	r := ref{o.Time, o.Event, o.Subject}
	c.show(&r)
}

// closeProducers ends a minute of producers: of each and its tenant, when it was active, and of each over all tenants, its numbers.
func (e *Engine) closeProducers(number int64, cells []cellOrder) {
	for i := range cells {
		e.closeActivity(number, cells[i].c)
	}
	slices.SortFunc(cells, func(a, b cellOrder) int {
		if c := bytes.Compare(a.key.id[:], b.key.id[:]); c != 0 {
			return c
		}
		return cmp.Compare(e.byIndex[a.key.tenant].name, e.byIndex[b.key.tenant].name)
	})
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && cells[n].key.id == cells[0].key.id {
			n++
		}
		e.closeNumbers(number, cells[:n])
		cells = cells[n:]
	}
}

// closeActivity notes that a producer has sent something of a tenant in this minute.
func (e *Engine) closeActivity(number int64, c *cell) {
	ent := e.entities.at(c.entity)
	p := e.producers[ent.key]
	if p == nil {
		p = &producer{key: ent.key, name: e.names.list[ent.name], first: number, gapSince: noMinute}
		e.producers[ent.key] = p
	} else {
		if pause := number - p.last; pause > p.quiet {
			p.quiet, p.quietNext = pause, p.quiet
		} else if pause > p.quietNext {
			p.quietNext = pause
		}
		p.silent = false
	}
	p.last = number
	if p.minutes < math.MaxUint32 {
		p.minutes++
	}
	p.dirty = true
	e.silence = noMinute
	e.touch(c.entity)
}

// closeNumbers counts a producer's numbers, which run through all tenants that it sends events of. They are kept with the first of them (in its first minute, the
// first by name), which is also whose incident a gap is: whose events are missing nobody can know.
func (e *Engine) closeNumbers(number int64, cells []cellOrder) {
	id, all := cells[0].key.id, cell{seqLeast: math.MaxUint64}
	for i := range cells {
		c := cells[i].c
		all.seqLeast, all.seqMost, all.events = min(all.seqLeast, c.seqLeast), max(all.seqMost, c.seqMost), saturated(all.events, c.events)
	}
	p := e.numbered[id]
	begins := p == nil
	if begins {
		p = e.producers[cells[0].key]
		p.base = all.seqLeast
		e.numbered[id] = p
	}
	var own *cell // what stands in an incident is of its tenant
	for i := range cells {
		if cells[i].key == p.key {
			own = cells[i].c
		}
	}
	p.dirty = true
	if i, ok := e.index[p.key]; ok {
		e.touch(i)
	}
	if all.seqLeast == 0 && !begins {
		// It has begun anew, and this minute may hold numbers of both lives: counting goes on with the next.
		p.anew = true
	} else if p.anew {
		p.base, p.most, p.seen, p.missing, p.reported, p.gapSince, p.anew = all.seqLeast, 0, 0, 0, 0, noMinute, false
	}
	if p.anew {
		return
	}
	p.base = min(p.base, all.seqLeast)
	p.most = max(p.most, all.seqMost)
	p.seen = saturated(p.seen, all.events)
	p.missing = 0
	if span := p.most - p.base; span != math.MaxUint64 && span+1 > p.seen {
		p.missing = span + 1 - p.seen
	}
	if p.missing <= p.reported {
		p.gapSince = noMinute
		p.reported = p.missing
	} else if p.gapSince == noMinute {
		p.gapSince = number
	}
	if p.gapSince != noMinute && number-p.gapSince >= gapPatience {
		e.found.addProducer(e, p, number, clue{
			group: groupProducer, name: "gap.sequence", score: min(2+math.Log10(float64(p.missing-p.reported)), 6),
			wanted: "numbers without gaps", pretty: fmt.Sprintf("%d events are missing before number %d", p.missing-p.reported, p.most),
		}, own)
		p.reported, p.gapSince = p.missing, noMinute
	}
}

// deadline is the minute at whose end the producer's silence is an incident.
func (p *producer) deadline() int64 {
	days := (p.last - p.first) / minutesOfDay
	longest := max(p.quietNext, 1)
	switch {
	case p.silent || p.minutes < leastSeen:
		return noSilence
	case p.quiet <= densePause && days >= denseDays:
		return p.last + max(int64(densely*float64(p.quiet)), leastSilence)
	case days >= sparseDays:
		// The longest silence may be an outage, but no shorter than half of it is one.
		return p.last + max(int64(sparsely*float64(max(longest, p.quiet/2))), int64(p.quiet)+leastSilence)
	}
	return noSilence
}

// nextSilence is the first minute at which a producer is silent for too long.
func (e *Engine) nextSilence() int64 {
	if e.silence == noMinute {
		e.silence = noSilence
		for _, p := range e.producers {
			e.silence = min(e.silence, p.deadline())
		}
	}
	return e.silence
}

// closeSilences reports who is silent at the end of a minute.
func (e *Engine) closeSilences(number int64) {
	if e.nextSilence() > number {
		return
	}
	var silent []*producer
	for _, p := range e.producers {
		if p.deadline() <= number {
			silent = append(silent, p)
		}
	}
	slices.SortFunc(silent, func(a, b *producer) int { return compareKeys(e, a.key, b.key) })
	for _, p := range silent {
		p.silent, p.dirty = true, true
		if i, ok := e.index[p.key]; ok {
			e.touch(i)
		}
		if e.replaced(p) {
			continue
		}
		e.found.addProducer(e, p, number, clue{
			group: groupProducer, name: "silence.producer", score: 4,
			wanted: fmt.Sprintf("at most %d minutes without an event", p.quiet), pretty: fmt.Sprintf("nothing for %d minutes", number-p.last),
		}, nil)
	}
	e.silence = noMinute
}

// replaced tells whether another process of the same service has sent events of the tenant since: after a release each process has a new id.
func (e *Engine) replaced(p *producer) bool {
	name, ok := service(p.name)
	if !ok {
		return false
	}
	for _, q := range e.producers {
		if q.key.tenant == p.key.tenant && q.last > p.last {
			if other, ok := service(q.name); ok && other == name {
				return true
			}
		}
	}
	return false
}

// service is the name of a producer without the UUID that tells its starts apart, "" if it is nothing else; false: there is none, it has one name for good.
func service(producer string) (name string, ok bool) {
	id := producer
	if i := strings.LastIndexByte(producer, '/'); i >= 0 {
		name, id = producer[:i], producer[i+1:]
	}
	if len(id) != 36 || uuid.Validate(id) != nil {
		return "", false
	}
	return name, true
}

// forgetProducers gives back the room of those that are gone, at the end of a day.
func (e *Engine) forgetProducers(number int64) {
	for key, p := range e.producers {
		i, ok := e.index[key]
		if !ok || number-p.last < producerKept || p.deadline() != noSilence || e.entities.at(i).live != 0 || len(e.directives.bars[key]) > 0 {
			continue
		}
		e.gone = append(e.gone, e.stateKey(e.entities.at(i)))
		e.forgetEntity(i)
		delete(e.producers, key)
		if e.numbered[key.id] == p {
			delete(e.numbered, key.id) // if it sends events of other tenants, counting begins anew with the next of them
		}
	}
}
