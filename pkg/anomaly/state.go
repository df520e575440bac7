package anomaly

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"
)

// StateKind is what a piece of state is about.
type StateKind string

// The kinds of states. Those of entities are named like them.
const (
	StateSubject  StateKind = "subject"
	StateAgent    StateKind = "agent"
	StateTenant   StateKind = "tenant"
	StateProducer StateKind = "producer"
	StatePeers    StateKind = "peers"    // what all entities of a tenant have together
	StateIncident StateKind = "incident" // one that may still grow; Entity is its id
	StateEngine   StateKind = "engine"   // how far minutes are closed
)

// Key says whose a piece of state is. A person's are those with the Subject.
type Key struct {
	Kind    StateKind
	Tenant  string
	Subject [16]byte
	Entity  string
}

// stateVersion is the first byte of every state. A version that is not known is refused: the state is then learned anew from the events. From version 1 on all
// are read: it has no series, and who has any is chosen at the end of the day.
const (
	stateVersion = 2
	oldestState  = 1
)

// Bounds of what is read from a state.
const (
	maxNameBytes    = 1 << 12
	maxPartitions   = 1 << 16
	maxWaiting      = 1 << 20
	maxStateSignals = 64
)

// Changed hands over the states that have changed since the last call, in a fixed order, and nil for those that are no more. Together with those handed over
// before and ResumeAt they are all that is needed to go on elsewhere. The bytes are valid during the call only.
func (e *Engine) Changed(each func(key Key, state []byte)) {
	for _, key := range e.gone {
		each(key, nil)
	}
	e.gone = e.gone[:0]
	for _, g := range e.found.gone {
		if _, again := e.found.changed[g.id]; !again {
			each(g.key, nil)
		}
	}
	e.found.gone = e.found.gone[:0]

	var buffer []byte
	encode := func(key Key, fields func(x *codec)) {
		x := codec{data: append(buffer[:0], stateVersion), version: stateVersion}
		fields(&x)
		buffer = x.data
		each(key, x.data)
	}
	slices.SortFunc(e.changed, func(a, b uint32) int { return compareKeys(e, e.entities.at(a).key, e.entities.at(b).key) })
	for _, i := range e.changed {
		ent := e.entities.at(i)
		if !ent.inUse || !ent.dirty {
			continue
		}
		ent.dirty = false
		encode(e.stateKey(ent), func(x *codec) { e.entityFields(x, ent) })
	}
	e.changed = e.changed[:0]
	for _, t := range slices.SortedFunc(slices.Values(e.byIndex), func(a, b *tenant) int { return cmp.Compare(a.name, b.name) }) {
		if t.dirty {
			t.dirty = false
			encode(Key{Kind: StatePeers, Tenant: t.name}, t.fields)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(e.found.changed), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }) {
		in := e.found.changed[id]
		encode(e.incidentKey(in), func(x *codec) { e.incidentFields(x, in) })
	}
	clear(e.found.changed)
	encode(Key{Kind: StateEngine}, e.engineFields)
}

func (e *Engine) stateKey(ent *entity) Key {
	key := Key{Kind: StateKind(kindNames[ent.key.kind]), Tenant: e.byIndex[ent.key.tenant].name}
	switch ent.key.kind {
	case kindSubject:
		key.Subject = ent.key.id
	case kindAgent, kindProducer:
		key.Entity = e.names.list[ent.name]
	}
	return key
}

func (e *Engine) incidentKey(in *ongoing) Key {
	return Key{Kind: StateIncident, Tenant: in.Tenant, Subject: in.Subject, Entity: in.ID.String()}
}

// Restore takes a state back that Changed has handed over, in any order, before the first event is observed.
func (e *Engine) Restore(key Key, state []byte) error {
	if err := e.restore(key, state); err != nil {
		return fmt.Errorf("restore the state of a %s: %w", key.Kind, err)
	}
	return nil
}

func (e *Engine) restore(key Key, state []byte) error {
	if len(state) == 0 || state[0] < oldestState || state[0] > stateVersion {
		return fmt.Errorf("its version is not known")
	}
	x := &codec{data: state[1:], decode: true, version: state[0]}
	if key.Kind == StateEngine {
		e.engineFields(x)
		err := x.end()
		if err != nil {
			// Half of it would be worse than none: minutes that count as closed are not looked at.
			e.closed, e.choice, e.partitions, e.directives.waiting, e.proved = noMinute, math.MaxInt64, nil, nil, proved{}
		}
		return err
	}
	t := e.tenant(key.Tenant)
	if t == nil {
		return fmt.Errorf("there is no room for the tenant")
	}
	switch key.Kind {
	case StatePeers:
		fresh := newTenant(t.name, t.index)
		fresh.fields(x)
		if err := x.end(); err != nil {
			return err
		}
		fresh.self, fresh.lastAgent, fresh.lastAgentName = t.self, t.lastAgent, t.lastAgentName
		*t = *fresh
		return nil
	case StateIncident:
		in := new(ongoing)
		in.key.tenant = t.index
		e.incidentFields(x, in)
		if err := x.end(); err != nil {
			return err
		}
		if in.Tenant != key.Tenant || in.ID.String() != key.Entity {
			return fmt.Errorf("it is another one's")
		}
		e.found.open[in.key] = in
		e.found.ends = noMinute
		return nil
	}
	ek, ok := keyOf(t.index, EntityKind(key.Kind), key.Subject, key.Entity)
	if !ok {
		return fmt.Errorf("there is no such kind")
	}
	i, ok := e.index[ek]
	if !ok {
		if i, ok = e.newEntity(ek, key.Entity); !ok {
			return fmt.Errorf("there is no room for it")
		}
	}
	ent := e.entities.at(i)
	e.entityFields(x, ent)
	if err := x.end(); err != nil {
		e.forgetEntity(i)
		return err
	}
	return nil
}

// end fails if anything is left.
func (x *codec) end() error {
	if x.err == nil && len(x.data) > 0 {
		x.err = fmt.Errorf("%d bytes too many", len(x.data))
	}
	return x.err
}

// entityFields goes through the state of an entity.
func (e *Engine) entityFields(x *codec, ent *entity) {
	e.barFields(x, ent.key)
	if ent.key.kind == kindProducer {
		p := e.producers[ent.key]
		has := p != nil
		if x.flag(&has); !has || x.err != nil {
			return
		}
		if p == nil {
			p = &producer{key: ent.key, name: e.names.list[ent.name]}
		}
		p.fields(x)
		if x.decode && x.err == nil {
			e.producers[ent.key] = p
			if p.seen > 0 {
				e.numbered[ent.key.id] = p
			}
			e.silence = noMinute
		}
		return
	}
	ent.fields(x)
	if x.version < 2 {
		return
	}
	number(x, &ent.activeToday, intervalsOfDay)
	x.small(&ent.active)
	followed := ent.watch != 0
	if x.flag(&followed); !followed || x.err != nil {
		return
	}
	w := e.watches[ent.watch]
	if x.decode {
		i := e.index[ent.key]
		e.unwatch(i)
		w = e.watch(i, 0)
	}
	if w.fields(x); x.decode && x.err == nil && w.interval != noMinute {
		e.pend(w.entity, w.interval)
	}
}

func (e *Engine) barFields(x *codec, key entityKey) {
	bars := e.directives.bars[key]
	n := x.length(len(bars), maxBars)
	if x.decode {
		bars = make([]bar, n)
	}
	for i := range n {
		b := &bars[i]
		x.text(&b.signal, maxNameBytes)
		x.i64(&b.until)
		forever := math.IsInf(b.raise, 1)
		if x.flag(&forever); forever {
			b.raise = math.Inf(1)
			continue
		}
		raise := float32(b.raise)
		x.f32(&raise)
		b.raise = float64(raise)
	}
	if x.decode && x.err == nil && n > 0 {
		if e.directives.bars == nil {
			e.directives.bars = map[entityKey][]bar{}
		}
		e.directives.bars[key] = bars
	}
}

func (ent *entity) fields(x *codec) {
	x.i64(&ent.minute)
	x.i32(&ent.hour)
	x.i32(&ent.day)
	x.i32(&ent.since)
	number(x, &ent.days, math.MaxUint16)
	for r := range numRates {
		x.u64(&ent.hourSums[r], math.MaxUint64)
		x.u64(&ent.daySums[r], math.MaxUint64)
		for w := range numWindows {
			x.level(&ent.levels[w][r])
		}
		for w := range ent.said {
			x.small(&ent.said[w][r])
		}
	}
	for k := range ent.sizes {
		x.level(&ent.sizes[k])
	}
	for i := range ent.blocks {
		number(x, &ent.blocks[i], tailBins)
	}
	x.f32(&ent.total)
	x.flag(&ent.alerted)
	x.f32(&ent.hold.hold)
	x.i64(&ent.held)
	x.f32(&ent.fresh)
	x.i64(&ent.freshAt)
	for n := range numNovelties {
		x.small(&ent.novel[n])
		number(x, &ent.novelToday[n], math.MaxUint8)
		number(x, &ent.knownN[n], uint8(knownRoom[n]))
		from, _ := n.slot()
		for i := from; i < from+int(ent.knownN[n]); i++ {
			number(x, &ent.knownHash[i], math.MaxUint32)
			number(x, &ent.knownDay[i], math.MaxUint16)
		}
	}
	for week := range ent.hours {
		number(x, &ent.hourDays[week], math.MaxUint8)
		for h := range ent.hours[week] {
			number(x, &ent.hours[week][h], math.MaxUint8)
		}
	}
	number(x, &ent.hoursToday, 1<<24-1)
}

// small is a number that is mostly 0: a byte then.
func (x *codec) small(v *float32) {
	has := *v != 0
	if x.flag(&has); has {
		x.f32(v)
		if x.decode && x.err == nil && *v == 0 {
			x.fail(fmt.Errorf("a zero in a longer form than it needs"))
		}
	}
}

func (p *producer) fields(x *codec) {
	for _, v := range []*uint64{&p.base, &p.most, &p.seen, &p.missing, &p.reported} {
		x.u64(v, math.MaxUint64)
	}
	for _, v := range []*int64{&p.gapSince, &p.first, &p.last, &p.quiet, &p.quietNext} {
		x.i64(v)
	}
	number(x, &p.minutes, math.MaxUint32)
	x.flag(&p.silent)
	x.flag(&p.anew)
	if x.decode && x.err == nil && (p.quiet < 0 || p.quiet > 1<<40 || p.quietNext < 0 || p.quietNext > p.quiet || p.most < p.base || p.reported > p.missing && p.missing > 0) {
		x.fail(fmt.Errorf("its numbers do not fit together"))
	}
}

func (t *tenant) fields(x *codec) {
	x.i64(&t.budgetDay)
	alerted := uint64(t.alerted)
	x.u64(&alerted, math.MaxInt32)
	t.alerted = int(alerted)
	for k := range t.peers {
		t.peers[k].fields(x)
	}
	n := x.length(len(t.popular), maxPopular)
	if !x.decode {
		keys := slices.SortedFunc(maps.Keys(t.popular), func(a, b popularKey) int {
			return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.hash, b.hash))
		})
		for _, k := range keys {
			users := t.popular[k]
			k.fields(x, &users)
		}
		return
	}
	for range n {
		var k popularKey
		var users uint32
		if k.fields(x, &users); x.err == nil {
			t.popular[k] = users
		}
	}
}

func (k *popularKey) fields(x *codec, users *uint32) {
	what := uint8(k.what)
	number(x, &what, uint8(numNovelties-1))
	k.what = novelty(what)
	number(x, &k.hash, math.MaxUint32)
	number(x, users, math.MaxUint32)
}

func (p *peers) fields(x *codec) {
	for w := range p.levels {
		for r := range p.levels[w] {
			x.level(&p.levels[w][r])
			x.level(&p.within[w][r])
		}
	}
	for k := range p.sizes {
		x.level(&p.sizes[k])
		x.level(&p.withinSizes[k])
	}
	for i := range p.tails {
		has := p.tails[i] != nil
		if x.flag(&has); has {
			if p.tails[i] == nil {
				p.tails[i] = new(Tail)
			}
			x.tail(p.tails[i])
		}
	}
	x.tail(&p.total)
	x.u64(&p.days, math.MaxUint64)
	x.i32(&p.since)
	for n := range p.novel {
		x.small(&p.novel[n])
	}
	for week := range p.hours {
		number(x, &p.hourDays[week], math.MaxUint32)
		for h := range p.hours[week] {
			number(x, &p.hours[week][h], math.MaxUint32)
		}
	}
	number(x, &p.entities, math.MaxUint32)
}

// engineFields are what is nobody's: how far minutes are closed, where reading goes on, and what waits for its minute.
func (e *Engine) engineFields(x *codec) {
	x.i64(&e.closed)
	if x.version >= 2 {
		if x.i64(&e.choice); x.decode && x.err == nil && e.choice < e.closed {
			e.choice = math.MaxInt64
		}
	}
	n := x.length(len(e.partitions), maxPartitions)
	for i := range n {
		p := partition{clock: math.MinInt64}
		if !x.decode {
			p = e.partitions[i]
			p.next = e.ResumeAt(p.number)
		}
		x.i32(&p.number)
		x.i64(&p.next)
		if x.decode && x.err == nil {
			if at := e.place(p.number); at >= 0 {
				e.partitions[at].next = p.next
			} else {
				e.partitions = append(e.partitions, p)
			}
		}
	}
	n = x.length(len(e.directives.waiting), maxWaiting)
	for i := range n {
		var d Directive
		if !x.decode {
			d = e.directives.waiting[i]
		}
		d.fields(x)
		if x.decode && x.err == nil {
			e.directives.waiting = append(e.directives.waiting, d)
		}
	}
	e.settledFields(x)
	e.proved.fields(x, e.closed)
}

// settledFields goes through up to where each partition's events were seen when a minute was closed last. In a state from before that was kept they are not: then
// all in minutes that are closed counts as seen, until the next one closes.
func (e *Engine) settledFields(x *codec) {
	if x.decode && x.err == nil && len(x.data) == 0 {
		for i := range e.partitions {
			e.partitions[i].settled = math.MaxInt64
		}
		return
	}
	n := x.length(len(e.partitions), maxPartitions)
	for i := range n {
		var p partition
		if !x.decode {
			p = e.partitions[i]
		}
		x.i32(&p.number)
		x.i64(&p.settled)
		if at := e.place(p.number); x.decode && x.err == nil && at >= 0 {
			e.partitions[at].settled = p.settled
		}
	}
}

func (d *Directive) fields(x *codec) {
	number(x, (*uint8)(&d.Kind), uint8(Lift))
	x.i64(&d.At)
	x.i64(&d.Until)
	x.bytes(d.Incident[:])
	x.text(&d.Tenant, maxNameBytes)
	x.text((*string)(&d.Of), maxNameBytes)
	x.bytes(d.Subject[:])
	x.text(&d.Entity, maxNameBytes)
	n := x.length(len(d.Signals), maxStateSignals)
	if x.decode {
		d.Signals = make([]string, n)
	}
	for i := range n {
		x.text(&d.Signals[i], maxNameBytes)
	}
}

func (e *Engine) incidentFields(x *codec, in *ongoing) {
	text := ""
	if !x.decode {
		in.Status = Final
		revision := in.Revision
		in.Revision = max(revision, 1) // 0 is refused, and stands for what was never said
		if data, err := MarshalIncident(&in.Incident); err != nil {
			x.fail(err)
		} else {
			text = string(data)
		}
		in.Revision = revision
	}
	x.text(&text, maxIncidentBytes)
	number(x, (*uint8)(&in.key.kind), uint8(numKinds-1))
	x.bytes(in.key.id[:])
	x.i64(&in.firstMinute)
	x.i64(&in.lastMinute)
	n := x.length(len(in.refs), MaxEvents)
	if x.decode {
		in.refs = make([]ref, n)
	}
	for i := range n {
		in.refs[i].fields(x)
	}
	x.u64(&in.sinceEvents, math.MaxUint64)
	x.u64(&in.sinceMicros, math.MaxUint64)
	x.u64(&in.micros, math.MaxUint64)
	number(x, &in.Revision, math.MaxUint32)
	x.flag(&in.said)
	number(x, (*uint8)(&in.saidSeverity), uint8(Critical))
	signals := uint8(in.saidSignals)
	number(x, &signals, MaxSignals)
	in.saidSignals = int(signals)
	x.u64(&in.saidEvents, math.MaxUint64)
	x.flag(&in.unsaid)
	x.flag(&in.acknowledged)
	if x.decode && x.err == nil {
		revision := in.Revision
		parsed, err := ParseIncident([]byte(text))
		if err != nil {
			x.fail(err)
			return
		}
		in.Incident = parsed
		in.Revision = revision
	}
}
