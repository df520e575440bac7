package anomaly

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
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
}

type goneIncident struct {
	id  uuid.UUID
	key Key
}

// ongoing is an incident that may still grow.
type ongoing struct {
	Incident
	key         entityKey
	firstMinute int64
	lastMinute  int64
	refs        []ref
	// What happened since the last evidence belongs to the incident if more evidence follows.
	sinceEvents uint64
	sinceMicros uint64
	micros      uint64 // cost
	// What was last said of it.
	said         bool
	saidSeverity Severity
	saidSignals  int
	saidEvents   uint64
	unsaid       bool // something has changed since, however little
	acknowledged bool
	counted      []counted // of an early one
}

// counted is what of an early incident's count is of one minute, which is looked at again as it grows.
type counted struct {
	minute         int64
	events, micros uint64
}

// recount notes what is counted of a minute now, and returns what was before. Minutes through closed grow no more.
func (in *ongoing) recount(now counted, closed int64) (before counted) {
	if i := slices.IndexFunc(in.counted, func(c counted) bool { return c.minute == now.minute }); i >= 0 {
		before, in.counted[i] = in.counted[i], now
		return before
	}
	in.counted = append(slices.DeleteFunc(in.counted, func(c counted) bool { return c.minute <= closed }), now)
	return counted{}
}

// news tells whether it has changed by enough to be said again: what was said last has four of five of its events, or nearly.
func (in *ongoing) news() bool {
	return !in.said || in.Severity > in.saidSeverity || !in.acknowledged && (len(in.Signals) > in.saidSignals || in.EventCount-in.EventCount/5 > in.saidEvents)
}

// maxIncidentMinutes ends incidents that go on for ever: what lasts for a day is said anew the next, if it is still unusual then.
const maxIncidentMinutes = 1440

func (f *incidents) init() {
	f.open, f.early, f.changed = map[entityKey]*ongoing{}, map[entityKey]*ongoing{}, map[uuid.UUID]*ongoing{}
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

// spend takes an incident from the tenant's budget of the day, or marks it as summarised.
func (e *Engine) spend(t *tenant, in *ongoing, number int64) {
	if day := floorDiv(number, minutesOfDay); day != t.budgetDay {
		t.budgetDay, t.alerted = day, 0
	}
	t.dirty = true
	if in.Summarised = t.alerted >= e.budget(in.Severity); !in.Summarised {
		t.alerted++
	}
}

// Critical incidents have a larger budget than others, but one: who can write events could make up thousands of them, behind which a real one would wait for hours.
const (
	criticalFactor = 10
	leastCriticals = 500
)

// budget is how many incidents of a tenant may be alerted by themselves on a day before one of that severity is summarised.
func (e *Engine) budget(s Severity) int {
	if s == Critical {
		return max(criticalFactor*e.cfg.AlertsPerDay, leastCriticals)
	}
	return e.cfg.AlertsPerDay
}

// begin fills in who it is about.
func (in *ongoing) begin(e *Engine, t *tenant, ent *entity, number int64) {
	in.ID = incidentID(t.name, in.key, number)
	in.Tenant, in.Kind = t.name, kindNames[in.key.kind]
	switch in.key.kind {
	case kindSubject:
		in.Subject = uuid.UUID(in.key.id)
	case kindAgent, kindProducer:
		in.Entity = e.names.list[ent.name]
	}
	if in.key.kind == kindAgent {
		in.Agents = []string{in.Entity}
	}
	in.First = minuteTime(number + 1)
	in.Last = minuteTime(number)
}

// extend adds a minute's evidence.
func (in *ongoing) extend(e *Engine, v *verdict, t *tenant, ent *entity, c *cell, number int64) {
	in.unsaid = true
	in.lastMinute = max(in.lastMinute, number)
	in.EventCount = saturated(saturated(in.EventCount, in.sinceEvents), c.events)
	in.micros = saturated(saturated(in.micros, in.sinceMicros), c.spent)
	in.CostUSD = float64(in.micros) / 1e6
	in.sinceEvents, in.sinceMicros = 0, 0
	in.Severity = max(in.Severity, v.severity(e.threshold(ent.key.kind)), Low)
	since := minuteTime(number)
	for _, r := range c.refs {
		in.showRef(r)
	}
	for i := range v.clues {
		if k := &v.clues[i]; k.ref != (ref{}) {
			in.showRef(k.ref)
		}
		k := &v.clues[i]
		if k.group == groupRate && k.window != perMinute {
			ent.said[k.window-1][k.rate] = float32(k.x)
		}
	}
	in.window(number)
	if v.inInterval {
		in.window(v.begun)
	}
	in.Time = in.First
	in.Signals = mergeSignals(in.Signals, v.signals(nil, &t.peers[min(in.key.kind, kindTenant)], since))
	for i := range c.sightings {
		s := &c.sightings[i]
		if s.name == "" {
			continue
		}
		switch s.what {
		case newAgent:
			in.Agents = addName(in.Agents, s.name)
		case newTool:
			in.Tools = addName(in.Tools, s.name)
		}
	}
	in.title()
}

// window widens it to the evidence.
func (in *ongoing) window(number int64) {
	if start := minuteTime(number); start.Before(in.First) {
		in.First = start
		if len(in.refs) > 0 {
			if first := time.UnixMicro(in.refs[0].time).UTC(); first.After(start) && first.Before(minuteTime(number+1)) {
				in.First = first
			}
		}
	}
	if end := minuteTime(number + 1); end.After(in.Last) {
		in.Last = end
	}
}

// showRef keeps the first events, in order of time.
func (in *ongoing) showRef(r ref) {
	i, found := slices.BinarySearchFunc(in.refs, r, ref.compare)
	if found || i == MaxEvents {
		return
	}
	if len(in.refs) == MaxEvents {
		in.refs = in.refs[:MaxEvents-1]
	}
	in.refs = slices.Insert(in.refs, i, r)
	in.writeEvents()
}

func (in *ongoing) writeEvents() {
	in.Events = in.Events[:0:0]
	for _, r := range in.refs {
		in.Events = append(in.Events, uuid.UUID(r.id))
	}
}

// join adds what another entity shows of the same cause.
func (in *ongoing) join(v *verdict, p *peers, of kind, number int64) {
	signals := v.signals(nil, p, minuteTime(number))
	for i := range signals {
		signals[i].Name = string(kindNames[of]) + "." + signals[i].Name
	}
	in.Signals = mergeSignals(in.Signals, signals)
	in.unsaid = true
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

// mergeSignals keeps, of each name, the strongest, with the time of the first; at most MaxSignals, by falling score.
func mergeSignals(have, more []Signal) []Signal {
	have = slices.Clone(have)
	for _, s := range more {
		i := slices.IndexFunc(have, func(h Signal) bool { return h.Name == s.Name })
		switch {
		case i < 0:
			have = append(have, s)
		case s.Score >= have[i].Score:
			s.Since = have[i].Since
			have[i] = s
		}
	}
	slices.SortFunc(have, func(a, b Signal) int {
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return have[:min(len(have), MaxSignals)]
}

// maxNames of agents and tools stand in an incident.
const maxNames = 8

func addName(names []string, name string) []string {
	i, found := slices.BinarySearch(names, name)
	if found || len(names) == maxNames {
		return names
	}
	return slices.Insert(slices.Clone(names), i, name)
}

// title says the strongest signal in one line.
func (in *ongoing) title() {
	who := "The tenant"
	switch in.Kind {
	case EntitySubject:
		who = "A user"
		if len(in.Agents) > 0 {
			who += " with " + in.Agents[0]
		}
	case EntityAgent:
		who = "Agent " + in.Entity
	case EntityProducer:
		who = "Producer " + in.Entity
	}
	if len(in.Signals) == 0 {
		return
	}
	top := in.Signals[0]
	in.Title = fmt.Sprintf("%s: %s (expected: %s)", who, top.Observed, top.Expected)
	if more := len(in.Signals) - 1; more > 0 {
		in.Title += fmt.Sprintf(", and %d more", more)
	}
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
		f.ends = math.MaxInt64
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

// foresee looks at a minute that is still open, and says what is likely an incident at once.
func (e *Engine) foresee(m *minute, t *tenant, c *cell, at int64) {
	ent := e.entities.at(c.entity)
	f := &e.found
	if in := f.open[ent.key]; in != nil && m.number-in.lastMinute <= e.gapMinutes && in.Severity == Critical {
		return
	}
	l := &e.lives[ent.live]
	hourSums, daySums := &c.sums, &c.sums
	if int64(l.hour) == floorDiv(m.number, minutesOfHour) {
		hourSums = &l.hourSums
	}
	if int64(l.day) == floorDiv(m.number, minutesOfDay) {
		daySums = &l.daySums
	}
	v := &e.verdict
	e.judge(v, t, ent, c, m.number, hourSums, daySums, nil)
	e.matchWindows(v, t, ent, c, m.number, hourSums, daySums)
	threshold := e.threshold(ent.key.kind)
	evidence := v.mature && v.total >= e.cfg.Least && v.surprise >= threshold
	if evidence {
		hold, elapsed := ent.hold, 0.0
		if ent.held != noMinute {
			elapsed = float64(max(m.number-ent.held, 0))
		}
		evidence = hold.Step(v.total, e.cfg.Least, rearm, elapsed, e.halfLifeMinutes()) >= 1 || f.open[ent.key] != nil
	}
	if !evidence && v.alone == 0 {
		return
	}
	severity := max(v.severity(threshold), Low)
	early := f.early[ent.key]
	if in := f.open[ent.key]; in != nil && early == nil && severity <= in.Severity {
		return // it goes on, and is as grave as it was
	}
	if early == nil {
		if f.explained(e, t, ent.key, ent, m.number, f.early) != nil || f.explained(e, t, ent.key, ent, m.number, f.open) != nil {
			return
		}
		early = &ongoing{key: ent.key, firstMinute: m.number, lastMinute: m.number}
		early.begin(e, t, ent, m.number)
		if in := f.open[ent.key]; in != nil {
			// The same incident, grown graver in minutes that are open.
			early.Incident, early.firstMinute, early.refs, early.micros = in.Incident, in.firstMinute, slices.Clone(in.refs), in.micros
			early.saidSeverity = in.saidSeverity
		}
		f.early[ent.key] = early
		f.ends = noMinute
		if in := f.open[ent.key]; in == nil || in.Summarised && severity == Critical {
			early.Summarised = e.beyondBudget(t, severity, m.number)
		}
	}
	if m.number != early.lastMinute {
		f.ends = noMinute
	}
	before := early.recount(counted{m.number, c.events, c.spent}, e.closed)
	said, raised := ent.said, time.UnixMicro(at).UTC()
	if early.said {
		raised = early.Time
	}
	grave := early.Severity == Critical
	early.extend(e, v, t, ent, c, m.number)
	if early.Summarised && early.Severity == Critical && !grave {
		early.Summarised = e.beyondBudget(t, Critical, m.number)
	}
	ent.said, early.Time = said, raised
	early.EventCount -= min(before.events, early.EventCount)
	early.micros -= min(before.micros, early.micros)
	early.CostUSD = float64(early.micros) / 1e6
	if early.news() {
		early.Status = Provisional
		f.hand(early)
		if in := f.open[ent.key]; in != nil && in.ID == early.ID {
			in.Revision, in.unsaid = early.Revision, true
		}
	}
}

// beyondBudget tells whether what is found in an open minute, and stands among the provisional incidents, is likely to be summarised.
func (e *Engine) beyondBudget(t *tenant, s Severity, number int64) bool {
	room := e.budget(s)
	if floorDiv(number, minutesOfDay) == t.budgetDay {
		room -= t.alerted
	}
	return e.found.moreEarly(t.index, room)
}

// moreEarly tells whether a tenant has more provisional incidents than that. It does not count on: when thousands begin in one minute each would count all others.
func (f *incidents) moreEarly(tenant uint32, than int) bool {
	n := 0
	for _, in := range f.early {
		if n > than {
			break
		}
		if in.key.tenant == tenant {
			n++
		}
	}
	return n > than
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
