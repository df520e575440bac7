package anomaly

import "github.com/agentaudit/agentaudit/pkg/scan"

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

type traitKey struct{ kind, action, tool string }

// maxTraits bounds what is remembered of names; beyond it they are looked at anew.
const maxTraits = 20_000
