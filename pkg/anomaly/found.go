package anomaly

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// incidents are those that may still grow. open are what the closed minutes say, early what the open ones make likely.
type incidents struct {
	open, early map[entityKey]*ongoing
	ends        int64 // the first minute at which one has ended; noMinute: look
	out         []Incident
	gone        []goneIncident
	changed     map[uuid.UUID]*ongoing
	recalled    map[uuid.UUID]recalled
}

type goneIncident struct {
	id  uuid.UUID
	key Key
}

// maxIncidentMinutes ends incidents that go on for ever: what lasts for a day is said anew the next, if it is still unusual then.
const maxIncidentMinutes = 1440

func (f *incidents) init() {
	f.open, f.early, f.changed = map[entityKey]*ongoing{}, map[entityKey]*ongoing{}, map[uuid.UUID]*ongoing{}
	f.recalled = map[uuid.UUID]recalled{}
	f.ends = noMinute
}

// incidentSpace is the namespace of incidents' ids.
var incidentSpace = uuid.MustParse("6f2a8c1e-0b5d-8e4b-9a77-3c4d0e9f1a52")

// incidentID is the same whenever the same incident is found again, provisionally or finally, today or in a replay.
func incidentID(tenant string, key entityKey, firstMinute int64) uuid.UUID {
	data := make([]byte, 0, 64+len(tenant))
	data = fmt.Appendf(data, "%s/%d/%d/", kindNames[key.kind], len(tenant), firstMinute)
	data = append(data, tenant...)
	data = append(data, key.id[:]...)
	return uuid.NewHash(sha256.New(), incidentSpace, data, 8)
}

func minuteTime(number int64) time.Time { return time.UnixMicro(number * microsPerMinute).UTC() }

// add makes a closed minute's verdict part of an incident. evidence: it goes on; fresh: it would be one by itself.
func (f *incidents) add(e *Engine, v *verdict, t *tenant, ent *entity, c *cell, number int64, evidence, fresh bool) {
	key := ent.key
	in := f.open[key]
	early := f.early[key]
	if in != nil && number-in.firstMinute >= maxIncidentMinutes {
		f.end(e, in)
		in = nil
	}
	switch {
	case in != nil && (evidence || v.alone > 0):
		before := in.Severity
		in.extend(e, v, t, ent, c, number)
		if in.Summarised && in.Severity == Critical && before < Critical {
			e.spend(t, in, number) // as a critical one it may have room
		}
		f.touched(in)
	case in != nil:
		in.sinceEvents = saturated(in.sinceEvents, c.events)
		in.sinceMicros = saturated(in.sinceMicros, c.spent)
		f.changed[in.ID] = in
	case v.alone > 0 || evidence && fresh:
		if by := f.explained(e, t, key, ent, number, f.open); by != nil {
			by.join(v, &t.peers[key.kind], key.kind, number)
			f.touched(by)
			f.say(by, false)
			break
		}
		in = &ongoing{key: key, firstMinute: number, lastMinute: number}
		in.begin(e, t, ent, number)
		if early != nil && early.ID == in.ID {
			in.Revision, in.saidSeverity, in.saidSignals, in.saidEvents = early.Revision, early.saidSeverity, early.saidSignals, early.saidEvents // but not as final
		}
		in.extend(e, v, t, ent, c, number)
		e.spend(t, in, number)
		f.open[key] = in
		f.touched(in)
	}
	if early != nil && (in != nil && early.ID != in.ID || in == nil && early.lastMinute <= number) {
		f.withdraw(early)
		early = nil
	}
	if in != nil && in.lastMinute == number && (early == nil || early.lastMinute <= number) {
		f.say(in, false)
		delete(f.early, key)
	}
}

// touched notes that an incident's state must be kept anew, and that its end may have moved.
func (f *incidents) touched(in *ongoing) {
	f.changed[in.ID] = in
	f.ends = noMinute
}

// explained finds the incident that has the same cause: that of a user of this agent for an agent, any for a tenant.
func (f *incidents) explained(e *Engine, t *tenant, key entityKey, ent *entity, number int64, among map[entityKey]*ongoing) *ongoing {
	if key.kind != kindAgent && key.kind != kindTenant {
		return nil
	}
	var by *ongoing
	for _, in := range among {
		if in.key.tenant != t.index || in.key.kind >= key.kind || number-in.lastMinute > e.gapMinutes {
			continue
		}
		if key.kind == kindAgent && !slices.Contains(in.Agents, e.names.list[ent.name]) {
			continue
		}
		if by == nil || in.Severity > by.Severity || in.Severity == by.Severity && bytes.Compare(in.ID[:], by.ID[:]) < 0 {
			by = in
		}
	}
	return by
}

// say hands an incident out if it has changed by enough, or by anything at all at its end.
func (f *incidents) say(in *ongoing, last bool) {
	if !in.unsaid {
		return
	}
	if !in.news() && !last {
		return
	}
	in.Status = Final
	f.hand(in)
	f.changed[in.ID] = in
}

func (f *incidents) hand(in *ongoing) {
	in.Revision++
	in.said, in.saidSeverity, in.saidSignals, in.saidEvents, in.unsaid = true, in.Severity, len(in.Signals), in.EventCount, false
	out := in.Incident
	out.Signals, out.Events = slices.Clone(in.Signals), slices.Clone(in.Events)
	out.Agents, out.Tools = slices.Clone(in.Agents), slices.Clone(in.Tools)
	f.out = append(f.out, out)
	delete(f.recalled, in.ID)
}

// withdraw takes a provisional incident back.
func (f *incidents) withdraw(early *ongoing) {
	if early.said {
		early.Status = Withdrawn
		f.hand(early)
	}
	delete(f.early, early.key)
}

// nextEnd is the first minute at which an incident has ended.
func (f *incidents) nextEnd(gap int64) int64 {
	if f.ends == noMinute {
		f.ends = f.nextRecalled()
		for _, in := range f.open {
			f.ends = min(f.ends, in.lastMinute+gap+1)
		}
		for _, in := range f.early {
			f.ends = min(f.ends, in.lastMinute+1)
		}
	}
	return f.ends
}

// endIncidents ends those whose gap has passed, and takes back what no closed minute has confirmed.
func (e *Engine) endIncidents(number int64) {
	f := &e.found
	if f.nextEnd(e.gapMinutes) > number {
		return
	}
	for _, in := range f.sorted(f.open) {
		if in.lastMinute+e.gapMinutes < number {
			f.end(e, in)
		}
	}
	for _, in := range f.sorted(f.early) {
		if in.lastMinute < number {
			f.settle(in)
		}
	}
	f.settleRecalled(number)
	f.ends = noMinute
}

// settle decides about a provisional incident whose minutes are all closed.
func (f *incidents) settle(early *ongoing) {
	if in := f.open[early.key]; in != nil && in.ID == early.ID {
		delete(f.early, early.key)
		f.say(in, false)
		return
	}
	f.withdraw(early)
}

func (f *incidents) end(e *Engine, in *ongoing) {
	if early := f.early[in.key]; early != nil && early.ID == in.ID {
		delete(f.early, in.key)
	}
	f.say(in, true)
	delete(f.open, in.key)
	delete(f.changed, in.ID)
	f.gone = append(f.gone, goneIncident{in.ID, e.incidentKey(in)})
	f.ends = noMinute
	e.rest(in)
}

func (f *incidents) sorted(m map[entityKey]*ongoing) []*ongoing {
	list := make([]*ongoing, 0, len(m))
	for _, in := range m {
		list = append(list, in)
	}
	slices.SortFunc(list, func(a, b *ongoing) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return list
}

// addProducer reports a gap or a silence.
func (f *incidents) addProducer(e *Engine, p *producer, number int64, k clue, c *cell) {
	t := e.byIndex[p.key.tenant]
	i, ok := e.index[p.key]
	if !ok {
		return
	}
	ent := e.entities.at(i)
	v := &e.verdict
	*v = verdict{clues: append(v.clues[:0], k), alone: Medium}
	if k.name == "silence.producer" {
		v.alone = High
	}
	e.suppressed(v, ent, number, 0)
	if len(v.clues) == 0 {
		return
	}
	if c == nil {
		c = &cell{}
	}
	f.add(e, v, t, ent, c, number, true, true)
}

// Take appends what is new or has changed since the last call.
func (e *Engine) Take(dst []Incident) []Incident {
	from := len(dst)
	dst = append(dst, e.found.out...)
	clear(e.found.out)
	e.found.out = e.found.out[:0]
	slices.SortStableFunc(dst[from:], func(a, b Incident) int {
		if c := a.First.Compare(b.First); c != 0 {
			return c
		}
		if c := bytes.Compare(a.ID[:], b.ID[:]); c != 0 {
			return c
		}
		return cmp.Compare(a.Revision, b.Revision)
	})
	return dst
}

func compareKeys(e *Engine, a, b entityKey) int {
	if c := cmp.Compare(e.byIndex[a.tenant].name, e.byIndex[b.tenant].name); c != 0 {
		return c
	}
	if c := cmp.Compare(a.kind, b.kind); c != 0 {
		return c
	}
	return bytes.Compare(a.id[:], b.id[:])
}
