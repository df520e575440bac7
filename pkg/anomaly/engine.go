package anomaly

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Config is what an Engine can be told.
type Config struct {
	// Threshold is the surprise at which the evidence of one minute becomes an incident: −log10 of the share of a user's days that hold as much by chance, 1 to
	// 6. It is the rate of false alerts per user and day that is put up with.
	Threshold float64
	// Least is the sum of evidence below which nothing is an incident, however rare it is where everybody does the same every day.
	Least float64
	// HalfLife is in what time an incident is forgotten by half: until then, only what clearly exceeds it is a new one.
	HalfLife time.Duration
	// Gap joins evidence about one entity that lies no further apart into one incident. A minute to a day.
	Gap time.Duration
	// LearnDays is for how many days a tenant's baselines are only learned. Rules and silence speak at once. 0 to 60.
	LearnDays int
	// AlertsPerDay is how many incidents of a tenant are alerted by themselves on one day (of UTC); what exceeds it is Summarised. Critical ones have ten times
	// that, and at least 500.
	AlertsPerDay int
	// Protected are the types of resources that nobody should come near in a new way.
	Protected []string
	// Bounds of what is kept, against producers that make names up: beyond them, newcomers have no baseline of their own.
	MaxSubjects, MaxAgents, MaxTenants, MaxProducers int
	// MaxFollowed is how many users, how many agents and how many tenants have series of their own, at 16 to 21 KB each: the most active ones. 0: nobody.
	MaxFollowed int
	// Rules are what an operator has declared; nil: none.
	Rules Rules
}

// Rules are conditions that an operator has declared.
type Rules interface {
	// Rule describes a condition by the number that stands in Observation.Matches, or that Windows has called fire with. false: there is no such rule (any more).
	Rule(number int) (Rule, bool)
	// Windows judges the windows of an entity that end with the minute that is looked at. It is called for entities that had events in it. fire takes the
	// number of a rule that holds, and for people what was seen: "cost_usd 312.55 (usually 1.20 ± 0.80)".
	Windows(view *WindowView, fire func(number int, observed string))
}

// Rule is what an incident says of a rule.
type Rule struct {
	ID       string
	Title    string
	Severity Severity
	// Expected says for people what is usual; "": nobody has said it.
	Expected string
}

// DefaultConfig is what is used where nothing is configured.
func DefaultConfig() Config {
	return Config{
		Threshold: 1.7, Least: 3, HalfLife: 36 * time.Hour, Gap: time.Hour, LearnDays: 4, AlertsPerDay: 50,
		Protected: []string{
			"secret", "credential", "key", "payment", "payroll", "bank_account", "patient", "health_record", "personal_data", "customer_export", "backup", "iam_role",
		},
		MaxSubjects: 5_000_000, MaxAgents: 100_000, MaxTenants: 10_000, MaxProducers: 100_000, MaxFollowed: 5000,
	}
}

// Validate names what is wrong and what is allowed.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Threshold >= 1 && c.Threshold <= 6, "threshold: %g, 1 to 6 expected", c.Threshold)
	check(c.Least >= 0 && c.Least <= 30, "least: %g, 0 to 30 expected", c.Least)
	check(c.HalfLife >= time.Hour && c.HalfLife <= 60*24*time.Hour, "half-life: %s, 1h to 1440h expected", c.HalfLife)
	check(c.Gap >= time.Minute && c.Gap <= 24*time.Hour, "gap: %s, 1m to 24h expected", c.Gap)
	check(c.LearnDays >= 0 && c.LearnDays <= 60, "learning days: %d, 0 to 60 expected", c.LearnDays)
	check(c.AlertsPerDay >= 0 && c.AlertsPerDay <= 1_000_000, "alerts a day: %d, 0 to 1000000 expected", c.AlertsPerDay)
	check(c.MaxSubjects > 0 && c.MaxAgents > 0 && c.MaxTenants > 0 && c.MaxProducers > 0, "bounds: must be positive")
	check(c.MaxFollowed >= 0 && c.MaxFollowed <= 1_000_000, "followed: %d, 0 to 1000000 expected", c.MaxFollowed)
	check(c.MaxSubjects <= 1<<30 && c.MaxAgents <= 1<<30, "bounds: at most %d", 1<<30)
	return errors.Join(errs...)
}

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

type partition struct {
	number int32
	clock  int64
	next   int64 // offset after the last one observed
	begun  bool
	// settled is next when a minute was closed last: of what stands before it, nothing is new in minutes that are closed.
	settled int64
	// waits: events recorded at held or later are still to come, whatever the clock says.
	waits bool
	held  int64
}

type traitKey struct{ kind, action, tool string }

// maxTraits bounds what is remembered of names; beyond it they are looked at anew.
const maxTraits = 20_000

// live is what an entity has done in its current hour and day, with the minutes that are open.
type live struct {
	hour, day         int32
	hourSums, daySums [numRates]uint64
	cells             int
	// last is the cell that was used last, of the minute of that number.
	last   *cell
	number int64
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

// Partitions tells which partitions there are: a minute closes when the clocks of all of them have passed its end by Lateness. Those that are gone are no
// longer waited for.
func (e *Engine) Partitions(numbers []int32) {
	kept := make([]partition, 0, len(numbers))
	for _, n := range numbers {
		if i := e.place(n); i >= 0 {
			kept = append(kept, e.partitions[i])
		} else {
			kept = append(kept, partition{number: n, clock: math.MinInt64})
		}
	}
	// Places stand in the open minutes, so they must not move: what is gone stays as one that is always ahead.
	for i := range e.partitions {
		p := &e.partitions[i]
		if !slices.Contains(numbers, p.number) {
			p.clock = math.MaxInt64
		}
	}
	for i := range kept {
		if j := e.place(kept[i].number); j >= 0 {
			if e.partitions[j].clock == math.MaxInt64 {
				e.partitions[j].clock = math.MinInt64
			}
		} else {
			e.partitions = append(e.partitions, kept[i])
		}
	}
	e.advance()
}

func (e *Engine) place(number int32) int {
	// Partitions are few, and mostly stand at their number.
	if int(number) < len(e.partitions) && number >= 0 && e.partitions[number].number == number {
		return int(number)
	}
	for i := range e.partitions {
		if e.partitions[i].number == number {
			return i
		}
	}
	return -1
}

// Clock tells that a partition has been read up to a record time, in microseconds since 1970: nothing that was recorded more than Lateness before it is to
// come. Clocks never go back.
func (e *Engine) Clock(number int32, micros int64) {
	i := e.place(number)
	if i < 0 {
		e.partitions = append(e.partitions, partition{number: number, clock: math.MinInt64})
		i = len(e.partitions) - 1
	}
	p := &e.partitions[i]
	if micros <= p.clock {
		return
	}
	before := p.clock
	p.clock = micros
	if before == math.MinInt64 || floorDiv(before, microsPerMinute) != floorDiv(micros, microsPerMinute) {
		e.advance()
	}
}

// Hold tells that events of a partition which were recorded at a time or later are still to come, although what stands behind them was observed: minutes stay open as
// if the partition's clock stood there. Release ends it.
func (e *Engine) Hold(number int32, micros int64) {
	if i := e.place(number); i >= 0 {
		e.partitions[i].waits, e.partitions[i].held = true, micros
		return
	}
	e.partitions = append(e.partitions, partition{number: number, clock: math.MinInt64, waits: true, held: micros})
}

// Release ends what Hold began.
func (e *Engine) Release(number int32) {
	if i := e.place(number); i >= 0 && e.partitions[i].waits {
		e.partitions[i].waits = false
		e.advance()
	}
}

// advance closes the minutes that all clocks have passed by Lateness.
func (e *Engine) advance() {
	least := int64(math.MaxInt64)
	for i := range e.partitions {
		p := &e.partitions[i]
		least = min(least, p.clock)
		if p.waits {
			least = min(least, p.held)
		}
	}
	if least == math.MinInt64 || least == math.MaxInt64 {
		return
	}
	if through := floorDiv(least-lateMicros, microsPerMinute) - 1; through > e.closed {
		e.closeThrough(through)
	}
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

// gather adds an event to the cells of everyone it is about, and looks at once at those where something may have happened.
func (e *Engine) gather(m *minute, t *tenant, o *Observation, at int64, late bool) {
	key := traitKey{o.Type, o.Action, o.Tool}
	tr, ok := e.traits[key]
	if !ok {
		tr = traitsOf(o.Type, o.Action, o.Tool)
		if len(e.traits) < maxTraits {
			e.traits[key] = tr
		}
	}
	g := gathered{o: o, traits: tr, at: at, late: late, ref: ref{at, o.Event, o.Subject}}
	g.protected = e.protected[o.ResourceType] || o.Risk == "high" || o.Risk == "critical"
	if !late {
		g.sums, g.most = measured(o, tr)
		if o.Tool != "" {
			g.tool = hashText(o.Tool)
		}
		if o.Agent != "" {
			g.agent = hashText(o.Agent)
		}
		if o.Model != "" {
			g.model = hashText(o.Model)
		}
		if o.ResourceType != "" {
			g.resource = hashText(o.ResourceType)
		}
		if o.Network != 0 {
			g.network = hashNumber(o.Network)
		}
	}
	// What rules and findings say of a single event is about whoever acts: the user, or else the agent, or else the tenant. Who has no room is answered for by the
	// next of them: names that somebody makes up must not hide what is found.
	var cells [3]*cell
	if g.actor = kindSubject; o.Subject != ([16]byte{}) {
		cells[0] = e.add(m, t, entityKey{t.index, kindSubject, o.Subject}, "", &g)
	}
	if cells[0] == nil {
		g.actor = kindAgent
	}
	if o.Agent != "" {
		cells[1] = e.add(m, t, entityKey{t.index, kindAgent, [16]byte{}}, o.Agent, &g)
	}
	if cells[0] == nil && cells[1] == nil {
		g.actor = kindTenant
	}
	if whole := e.add(m, t, entityKey{t.index, kindTenant, [16]byte{}}, "", &g); g.actor == kindTenant {
		cells[2] = whole
	}
	if o.Producer != "" {
		e.produced(m, t, o)
	}
	for _, c := range cells {
		if c != nil && c.due(&g) {
			e.foresee(m, t, c, at)
		}
	}
}

// gathered is an event on its way into cells.
type gathered struct {
	o                                     *Observation
	traits                                traits
	at                                    int64
	late                                  bool
	protected                             bool
	ref                                   ref
	actor                                 kind // whom single events are about
	sums                                  [numRates]uint64
	most                                  [numValues]uint64
	tool, agent, model, resource, network uint32
}

// add puts an event into the cell of one entity; nil: there is no room for the entity.
func (e *Engine) add(m *minute, t *tenant, key entityKey, name string, g *gathered) *cell {
	var i uint32
	var ok bool
	switch {
	case key.kind == kindTenant && t.self != 0:
		i = t.self - 1
	case key.kind == kindAgent && t.lastAgent != 0 && t.lastAgentName == name:
		i = t.lastAgent - 1
	default:
		if key.kind == kindAgent {
			key.id = nameID(name)
		}
		if hint := e.hint; hint != 0 && key.kind == kindSubject && e.entities.at(hint-1).key == key {
			i = hint - 1
		} else if i, ok = e.index[key]; !ok {
			if i, ok = e.newEntity(key, name); !ok {
				e.stats.Unwatched++
				return nil
			}
		}
		switch key.kind {
		case kindTenant:
			t.self = i + 1
		case kindAgent:
			t.lastAgent, t.lastAgentName = i+1, name
		}
	}
	c := e.cellOf(m, i)
	o := g.o
	c.events++
	c.spent = saturated(c.spent, o.CostMicroUSD)
	c.show(&g.ref)
	for _, number := range o.Matches {
		if key.kind == g.actor && e.cfg.Rules != nil {
			if r, ok := e.cfg.Rules.Rule(number); ok {
				c.prove(proof{name: "rule." + r.ID, title: r.Title, wanted: r.Expected, severity: r.Severity, score: scoreOf(r.Severity), alone: true, ref: g.ref})
			}
		}
	}
	if o.Threat >= scan.Medium && key.kind == g.actor {
		for k := range o.Findings {
			c.prove(proof{name: findingName(o.Findings[k].Name), severity: severityOf(o.Threat), score: findingScore(o.Threat), ref: g.ref})
		}
	}
	if g.late {
		return c
	}
	ent := e.entities.at(i)
	l := &e.lives[ent.live]
	hour, day := int32(floorDiv(m.number, minutesOfHour)), int32(floorDiv(m.number, minutesOfDay))
	if hour > l.hour {
		l.hour, l.hourSums = hour, [numRates]uint64{}
	}
	if day > l.day {
		l.day, l.daySums = day, [numRates]uint64{}
	}
	for r, x := range g.sums {
		if x == 0 {
			continue
		}
		c.sums[r] = saturated(c.sums[r], x)
		if hour == l.hour {
			l.hourSums[r] = saturated(l.hourSums[r], x)
		}
		if day == l.day {
			l.daySums[r] = saturated(l.daySums[r], x)
		}
	}
	for v, x := range g.most {
		c.most[v] = max(c.most[v], x)
	}
	if o.Rows > 0 && (c.firstRead == 0 || g.at < c.firstRead) {
		c.firstRead = g.at
	}
	if g.traits.send && g.at > c.lastSend {
		c.lastSend = g.at
	}
	if key.kind != kindSubject && o.Subject != ([16]byte{}) {
		c.people.add(&o.Subject)
	}
	if key.kind == kindTenant {
		return c
	}
	if g.network != 0 && key.kind == kindSubject {
		c.see(newNetwork, g.network, "", g.protected, &g.ref)
	}
	if g.tool != 0 {
		c.see(newTool, g.tool, o.Tool, g.protected, &g.ref)
	}
	if g.agent != 0 && key.kind == kindSubject {
		c.see(newAgent, g.agent, o.Agent, g.protected, &g.ref)
	}
	if g.model != 0 {
		c.see(newModel, g.model, o.Model, g.protected, &g.ref)
	}
	if g.resource != 0 {
		c.see(newResource, g.resource, o.ResourceType, g.protected, &g.ref)
	}
	if g.protected {
		c.see(newProtected, g.tool*31+g.resource+1, o.Tool, true, &g.ref)
	}
	return c
}

// due tells whether an open cell is worth being looked at: more events by a quarter than the last time, or something that one event alone can be.
func (c *cell) due(g *gathered) bool {
	if len(c.proofs) > 0 && c.proofs[0].ref == g.ref {
		return true
	}
	heavy := g.protected
	for r := rateTokens; r < numJudged; r++ {
		heavy = heavy || g.sums[r] >= rates[r].least[perMinute]
	}
	if c.events < c.judge && !heavy {
		return false
	}
	c.judge = max(c.events+1+c.events/4, 4)
	if heavy {
		return true
	}
	for r := range numJudged {
		if c.sums[r] >= rates[r].least[perMinute] {
			return true
		}
	}
	return c.events >= 8
}

// cellOf returns an entity's cell of a minute.
func (e *Engine) cellOf(m *minute, i uint32) *cell {
	ent := e.entities.at(i)
	if l := &e.lives[ent.live]; ent.live != 0 && l.last != nil && l.number == m.number {
		return l.last
	}
	c := m.cells[i]
	if c == nil {
		c = e.newCell(i)
		m.cells[i] = c
	}
	l := &e.lives[ent.live]
	l.last, l.number = c, m.number
	return c
}

func (e *Engine) newCell(i uint32) *cell {
	var c *cell
	if n := len(e.spareCells); n > 0 {
		c, e.spareCells = e.spareCells[n-1], e.spareCells[:n-1]
	} else {
		c = &cell{sightings: make([]sighting, 0, 6), refs: make([]ref, 0, cellRefs)}
	}
	c.reset(i)
	ent := e.entities.at(i)
	if ent.live == 0 {
		if n := len(e.freeLives); n > 0 {
			ent.live, e.freeLives = e.freeLives[n-1], e.freeLives[:n-1]
		} else {
			e.lives = append(e.lives, live{})
			ent.live = uint32(len(e.lives) - 1)
		}
		e.lives[ent.live] = live{hour: ent.hour, day: ent.day, hourSums: ent.hourSums, daySums: ent.daySums}
	}
	e.lives[ent.live].cells++
	return c
}

// dropCell gives back a cell that is done with.
func (e *Engine) dropCell(c *cell) {
	ent := e.entities.at(c.entity)
	if l := &e.lives[ent.live]; ent.live != 0 {
		if l.last == c {
			l.last = nil
		}
		if l.cells--; l.cells == 0 {
			e.freeLives = append(e.freeLives, ent.live)
			ent.live = 0
		}
	}
	e.spareCells = append(e.spareCells, c)
}

// newEntity makes room for an entity; false: there is none.
func (e *Engine) newEntity(key entityKey, name string) (uint32, bool) {
	room := [numKinds]int{e.cfg.MaxSubjects, e.cfg.MaxAgents, e.cfg.MaxTenants, e.cfg.MaxProducers}
	if e.counts[key.kind] >= room[key.kind] {
		return 0, false
	}
	i := e.entities.take()
	e.counts[key.kind]++
	e.index[key] = i
	*e.entities.at(i) = entity{key: key, name: e.names.of(name), inUse: true, minute: noMinute, hour: math.MinInt32, day: math.MinInt32, since: math.MinInt32, held: noMinute, freshAt: noMinute}
	return i, true
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

// ResumeAt is where reading a partition goes on after a restart: the first offset whose event stands in a minute that is still open.
func (e *Engine) ResumeAt(number int32) int64 {
	i := e.place(number)
	if i < 0 {
		return 0
	}
	at := e.partitions[i].next
	for _, m := range e.open {
		if i < len(m.first) && m.first[i] >= 0 {
			at = min(at, m.first[i])
		}
	}
	return at
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Subjects, s.Agents, s.Producers = e.counts[kindSubject], e.counts[kindAgent], len(e.producers)
	s.Followed = len(e.watches) - 1 - len(e.freeWatches)
	s.OpenMinutes, s.OpenIncidents = len(e.open), len(e.found.open)
	return s
}

// names are strings by number, so that entities need no pointers.
type names struct {
	list  []string
	index map[string]uint32
}

func (n *names) init() { n.list, n.index = []string{""}, map[string]uint32{"": 0} }

func (n *names) of(s string) uint32 {
	i, ok := n.index[s]
	if !ok {
		i = uint32(len(n.list))
		n.list = append(n.list, s)
		n.index[s] = i
	}
	return i
}
