package anomaly

import (
	"bytes"
	"slices"
	"strings"
)

const (
	// cellSightings, cellRefs and cellProofs bound what is kept of one entity's minute. What is kept of more does not depend on the order of the events.
	cellSightings = 16
	cellRefs      = 4
	cellProofs    = 8
)

// sighting is something that an entity has used in a minute; hash alone tells which it is.
type sighting struct {
	hash      uint32
	what      novelty
	protected bool // together with data that is protected
	name      string
	ref       ref
}

// ref is an event that shows something.
type ref struct {
	time    int64
	id      [16]byte
	subject [16]byte
}

func (a ref) compare(b ref) int {
	switch {
	case a.time < b.time:
		return -1
	case a.time > b.time:
		return 1
	}
	return bytes.Compare(a.id[:], b.id[:])
}

// proof is a rule that matched, or a finding.
type proof struct {
	name     string
	title    string
	wanted   string // what is usual; "": nobody has said it
	severity Severity
	score    float64
	alone    bool // an incident by itself
	ref      ref
}

func (a *proof) compare(b *proof) int {
	if a.severity != b.severity {
		return int(b.severity) - int(a.severity)
	}
	return strings.Compare(a.name, b.name)
}

// cell is what one entity has done in one minute: sums, maxima and sets, so that neither the order of events matters nor, with the minute's set of events,
// their repetition.
type cell struct {
	entity uint32
	events uint64
	judge  uint64 // number of events at which it is looked at next, before it is closed
	sums   [numRates]uint64
	most   [numValues]uint64
	spent  uint64 // cost, of events that are too late to be counted too
	// firstRead and lastSend are the earliest reading of rows and the latest sending out.
	firstRead, lastSend int64
	// seqLeast and seqMost are the producer's numbers.
	seqLeast, seqMost uint64
	people            people // of agents and tenants

	sightings []sighting // sorted by what and hash
	refs      []ref      // the first ones, sorted
	proofs    []proof    // the gravest ones, sorted
}

func (c *cell) reset(entity uint32) {
	sightings, refs, proofs := c.sightings[:0], c.refs[:0], c.proofs[:0]
	clear(c.sightings)
	clear(c.proofs)
	*c = cell{entity: entity, sightings: sightings, refs: refs, proofs: proofs, seqLeast: ^uint64(0)}
}

// see notes a thing that was used. Of more than there is room for, the smallest hashes stay.
func (c *cell) see(what novelty, hash uint32, name string, protected bool, r *ref) {
	i := 0
	for ; i < len(c.sightings); i++ {
		s := &c.sightings[i]
		if s.what == what && s.hash == hash {
			// Protected data outrank time, since they are why anyone would look.
			if protected && !s.protected || protected == s.protected && r.time <= s.ref.time && r.compare(s.ref) < 0 {
				s.protected, s.ref = protected, *r
			}
			return
		}
		if s.what > what || s.what == what && s.hash > hash {
			break
		}
	}
	if i == cellSightings {
		return
	}
	if len(c.sightings) == cellSightings {
		c.sightings = c.sightings[:cellSightings-1]
	}
	c.sightings = slices.Insert(c.sightings, i, sighting{hash, what, protected, name, *r})
}

// show keeps the first events.
func (c *cell) show(r *ref) { c.refs = showFirst(c.refs, *r, cellRefs) }

// showFirst adds an event to the first ones, of which there are as many.
func showFirst(refs []ref, r ref, most int) []ref {
	if len(refs) == most {
		if last := &refs[most-1]; r.time > last.time || r.compare(*last) >= 0 {
			return refs
		}
		refs = refs[:most-1]
	}
	i := len(refs)
	for i > 0 && r.compare(refs[i-1]) < 0 {
		i--
	}
	return slices.Insert(refs, i, r)
}

// prove keeps the gravest of what rules and findings say, one of each name with its first event.
func (c *cell) prove(p proof) {
	i := len(c.proofs)
	for k := range c.proofs {
		if c.proofs[k].name == p.name && c.proofs[k].severity == p.severity {
			if p.ref.compare(c.proofs[k].ref) < 0 {
				c.proofs[k].ref = p.ref
			}
			return
		}
	}
	for i > 0 && p.compare(&c.proofs[i-1]) < 0 {
		i--
	}
	if i == cellProofs {
		return
	}
	if len(c.proofs) == cellProofs {
		c.proofs = c.proofs[:cellProofs-1]
	}
	c.proofs = slices.Insert(c.proofs, i, p)
}

// minute is an open minute.
type minute struct {
	number int64
	cells  map[uint32]*cell
	events eventSet
	// first is the first offset of each partition whose event stands in this minute, by the partition's place.
	first []int64
}

func (m *minute) reset(number int64) {
	m.number = number
	clear(m.cells)
	m.events.reset()
	m.first = m.first[:0]
}

// noteOffset keeps the smallest offset of a partition.
func (m *minute) noteOffset(place int, offset int64) {
	for len(m.first) <= place {
		m.first = append(m.first, -1)
	}
	if m.first[place] < 0 || offset < m.first[place] {
		m.first[place] = offset
	}
}

// eventSet is a set of hashes, with open addressing: a map would take three times the memory, and events are many.
type eventSet struct {
	slots []uint64
	n     int
	zero  bool
}

// add returns whether the hash was not in the set.
func (s *eventSet) add(h uint64) bool {
	if h == 0 {
		was := s.zero
		s.zero = true
		return !was
	}
	if 4*(s.n+1) > 3*len(s.slots) {
		s.grow()
	}
	mask := uint64(len(s.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		switch s.slots[i] {
		case h:
			return false
		case 0:
			s.slots[i] = h
			s.n++
			return true
		}
	}
}

func (s *eventSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(2*len(old), 256))
	mask := uint64(len(s.slots) - 1)
	for _, h := range old {
		if h == 0 {
			continue
		}
		i := h & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = h
	}
}

func (s *eventSet) reset() {
	// A set that one burst has blown up is given back.
	if len(s.slots) > 1<<12 && s.n < len(s.slots)/16 {
		s.slots = nil
	}
	clear(s.slots)
	s.n, s.zero = 0, false
}

// fingerprint tells repeated events apart from others. It takes in what is counted, and with Digest all else: if two events claim one id and differ, both count,
// whichever comes first. Otherwise whoever writes events could hide one behind a harmless one of the same id.
func fingerprint(o *Observation, seed uint64) uint64 {
	h := seed
	mix := func(x uint64) {
		h ^= x
		h *= 0xff51afd7ed558ccd
		h ^= h >> 32
	}
	mix(o.Digest)
	mix(le64(o.Event[:8]))
	mix(le64(o.Event[8:]))
	mix(le64(o.Subject[:8]))
	mix(uint64(o.Time))
	mix(o.InputTokens + o.OutputTokens*3)
	mix(o.CostMicroUSD + o.Rows<<20 + o.DurationMillis<<40 + uint64(o.Outcome))
	mix(o.ProducerSeq)
	mix(o.Network)
	return h
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// minute returns an open minute.
func (e *Engine) minute(number int64) *minute {
	m := e.open[number]
	if m == nil {
		if n := len(e.spare); n > 0 {
			m, e.spare = e.spare[n-1], e.spare[:n-1]
			m.reset(number)
		} else {
			m = &minute{number: number, cells: map[uint32]*cell{}}
		}
		e.open[number] = m
		e.first = min(e.first, number)
	}
	e.last = m
	return m
}
