package anomaly

import (
	"fmt"
	"math"
	"time"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

const (
	microsPerMinute = int64(time.Minute / time.Microsecond)
	lateMicros      = int64(Lateness / time.Microsecond)
	noMinute        = math.MinInt64
)

// Engine watches. It belongs to one goroutine.
type Engine struct {
	cfg        Config
	gapMinutes int64

	tenants   map[string]*tenant
	byIndex   []*tenant
	index     map[entityKey]uint32
	counts    [numKinds]int
	entities  slab
	lives     []live
	freeLives []uint32
	names     names
	traits    map[traitKey]traits
	protected map[string]bool
	producers map[entityKey]*producer
	numbered  map[[16]byte]*producer // by the id of their names, those with which numbers are kept
	silence   int64                  // the first minute at which a producer may be silent; noMinute: look

	partitions []partition
	open       map[int64]*minute
	first      int64 // the earliest open minute with events
	spare      []*minute
	spareCells []*cell
	last       *minute // the minute that the last event was in
	ahead      ahead
	hint       uint32 // where the user of the event at hand probably stands, plus one; 0: not known
	closed     int64  // every minute up to this one is closed

	watches      []*watch // of agents, tenants and heavy users; 0: none
	freeWatches  []uint32
	pending      []uint32 // entities whose interval is to be closed, the first at the end of pendingEnd
	pendingEnd   int64
	choice       int64 // the last minute of the day, if anything has happened on it: then who is followed is chosen
	following    [numFollowed]SeriesConfig
	intervalCell cell

	found      incidents
	directives directives
	proved     proved
	verdict    verdict
	view       WindowView
	fired      func(number int, observed string) // fire, made once
	order      []cellOrder

	changed []uint32 // entities
	gone    []Key
	stats   Stats
}

// Stats count what an Engine has seen since New.
type Stats struct {
	Events, Repeated, Late, Closed uint64 // Closed: of minutes that are closed, read again or too late
	Unwatched                      uint64 // had no room for a baseline
	Subjects, Agents, Producers    int
	Followed                       int // have series of their own
	OpenMinutes, OpenIncidents     int
}

// New checks the configuration.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("anomaly: %w", err)
	}
	e := &Engine{
		cfg: cfg, gapMinutes: int64(cfg.Gap / time.Minute),
		tenants: map[string]*tenant{}, index: map[entityKey]uint32{}, traits: map[traitKey]traits{}, protected: map[string]bool{},
		producers: map[entityKey]*producer{}, numbered: map[[16]byte]*producer{}, silence: math.MaxInt64,
		open: map[int64]*minute{}, first: math.MaxInt64, closed: noMinute,
		lives: make([]live, 1), watches: make([]*watch, 1), // 0: none
		pendingEnd: math.MaxInt64, choice: math.MaxInt64,
	}
	for f := range follows {
		e.following[f] = follows[f].seriesConfig()
	}
	e.fired = e.fire
	e.names.init()
	e.found.init()
	for _, name := range cfg.Protected {
		e.protected[name] = true
	}
	return e, nil
}

// maxMicros bounds times to the years that can be written, ±: beyond them arithmetic would go round.
const maxMicros = int64(1) << 58

// Observe takes an event in. Those of one partition may come in any order, as long as none is recorded more than Lateness before the partition's clock: of one
// that is, only what rules and findings say counts, in the earliest minute that is open. An event that was seen before changes nothing.
func (e *Engine) Observe(o *Observation) {
	e.stats.Events++
	recorded := min(max(o.Recorded, -maxMicros), maxMicros)
	at, late := o.Time, false
	switch {
	case at > recorded+lateMicros:
		at = recorded + lateMicros
	case at < recorded-lateMicros:
		// It counts nowhere, and what rules and findings say of it is said of when it came.
		at, late = recorded, true
		e.stats.Late++
	}
	proof := len(o.Matches) > 0 || o.Threat >= scan.Medium
	place := e.place(o.Partition)
	if place < 0 {
		e.partitions = append(e.partitions, partition{number: o.Partition, clock: math.MinInt64})
		place = len(e.partitions) - 1
	}
	if p := &e.partitions[place]; o.Offset >= p.next {
		p.next, p.begun = o.Offset+1, true
	}
	number := floorDiv(at, microsPerMinute)
	if number <= e.closed {
		e.stats.Closed++
		if o.Offset < e.partitions[place].settled || !proof {
			e.Clock(o.Partition, recorded) // read again after a restart, or nothing to say
			return
		}
		// Its record says that it is older than what came before it: a producer that was cut off for a while, whose clock is slow, or that wants not to be seen.
		// What rules and findings say of it is said of now.
		number, late = e.closed+1, true
		at = number * microsPerMinute
	}
	digest := fingerprint(o, 0x9e3779b97f4a7c15)
	if late && e.proved.elsewhere(digest, number) {
		e.stats.Repeated++
		e.Clock(o.Partition, recorded)
		return
	}
	m := e.last
	if m == nil || m.number != number {
		m = e.minute(number)
	}
	m.noteOffset(place, o.Offset)
	if !m.events.add(digest) {
		e.stats.Repeated++
		e.Clock(o.Partition, recorded)
		return
	}
	if proof {
		e.proved.add(digest, number)
	}
	t := e.tenant(o.Tenant)
	if t == nil {
		e.stats.Unwatched++
		e.Clock(o.Partition, recorded)
		return
	}
	e.gather(m, t, o, at, late)
	e.Clock(o.Partition, recorded)
}

// tenant returns a tenant's state, nil if there is no room for it.
func (e *Engine) tenant(name string) *tenant {
	t := e.tenants[name]
	if t == nil {
		if len(e.tenants) >= e.cfg.MaxTenants {
			return nil
		}
		t = newTenant(name, uint32(len(e.byIndex)))
		e.tenants[name] = t
		e.byIndex = append(e.byIndex, t)
	}
	return t
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Subjects, s.Agents, s.Producers = e.counts[kindSubject], e.counts[kindAgent], len(e.producers)
	s.Followed = len(e.watches) - 1 - len(e.freeWatches)
	s.OpenMinutes, s.OpenIncidents = len(e.open), len(e.found.open)
	return s
}
