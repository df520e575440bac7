package sample

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// Generator makes events in the order of their times, without end. Not safe for
// concurrent use.
type Generator struct {
	cfg      Config
	rng      *rand.Rand
	users    []user
	rate     float64 // sessions per second of a user of weight 1
	agenda   agenda
	count    uint64 // entries so far: parts equal times
	render   renderer
	free     []*session
	incident *user
}

// systemEvery is the mean time between events of the system itself.
const systemEvery = 10 * time.Minute

// New checks the configuration and makes the users.
func New(cfg Config) (*Generator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Generator{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), users: make([]user, cfg.Users)}
	g.render = renderer{rng: g.rng, users: cfg.Users, tenants: cfg.Tenants}
	var weights float64
	for i := range g.users {
		g.users[i] = newUser(cfg.Seed, i, cfg.Tenants)
		weights += float64(g.users[i].weight)
	}
	g.rate = cfg.EventsPerSecond / meanEvents(cfg.Seed) / weights
	for i := range g.users {
		g.schedule(&g.users[i], cfg.Start)
	}
	g.push(entry{at: g.later(cfg.Start, systemEvery)})
	if cfg.Incident != nil {
		g.incident = g.victim()
		g.push(entry{at: cfg.Incident.At, user: g.incident, incident: true})
	}
	return g, nil
}

// meanEvents measures how many events a session has.
func meanEvents(seed uint64) float64 {
	const sessions = 2000
	rng := rand.New(rand.NewPCG(seed, 2))
	n := 0
	var s session
	for range sessions {
		s.agent = &agents[pickAgent(rng)]
		s.plan(rng, false)
		n += len(s.steps)
	}
	return float64(n) / sessions
}

// victim is the user in whose name the incident happens: one of the support
// agent's, with about half as much traffic as others.
func (g *Generator) victim() *user {
	best := &g.users[0]
	miss := math.Inf(1)
	for i := range g.users[:min(len(g.users), 1000)] {
		u := &g.users[i]
		d := math.Abs(float64(u.weight) - 0.5)
		if u.agent != supportAgent {
			d += 100
		}
		if d < miss {
			best, miss = u, d
		}
	}
	return best
}

// Victim is the tenant and user of the incident; empty if none is configured.
func (g *Generator) Victim() (tenant, user string) {
	if g.incident == nil {
		return "", ""
	}
	return tenants[g.incident.tenant].id, g.incident.id()
}

// Next fills in the next event, whole. What the record points to holds until the
// call after.
func (g *Generator) Next(r *events.Record) {
	for {
		e := heap.Pop(&g.agenda).(entry)
		s := e.session
		if s == nil {
			s = g.begin(&e)
			g.push(entry{at: s.begin.Add(s.steps[0].at), session: s})
			continue
		}
		g.render.render(r, s, &s.steps[s.next])
		if s.next++; s.next < len(s.steps) {
			g.push(entry{at: s.begin.Add(s.steps[s.next].at), session: s})
		} else {
			g.free = append(g.free, s)
		}
		return
	}
}

// begin starts the session of an agenda's entry.
func (g *Generator) begin(e *entry) *session {
	s := g.newSession()
	s.begin = e.at
	switch {
	case e.incident:
		g.fill(s, e.user, supportAgent)
		s.planIncident(g.cfg.Incident, &planner{rng: g.rng})
	case e.user == nil:
		// Of the system itself.
		g.fill(s, &g.users[g.rng.IntN(len(g.users))], pickAgent(g.rng))
		p := planner{rng: g.rng, steps: s.steps[:0]}
		p.add(stepConfig, 0, fateGood)
		s.steps, s.next = p.steps, 0
		g.push(entry{at: g.later(e.at, systemEvery)})
	default:
		u := e.user
		which := int(u.agent)
		if g.rng.Float64() < otherAgent {
			which = pickAgent(g.rng)
		}
		g.fill(s, u, which)
		// Once in a working day.
		login := e.at.Unix()-u.lastLogin > 10*3600
		if login {
			u.lastLogin = e.at.Unix()
		}
		s.plan(g.rng, login)
		g.schedule(u, e.at)
	}
	return s
}

// fill sets what all events of a session share.
func (g *Generator) fill(s *session, u *user, which int) {
	s.user, s.agent = u, &agents[which]
	m := int(u.model)
	if g.rng.Float64() < otherModel {
		m = 1 - m
	}
	s.model = &models[s.agent.models[m]]
	s.facts = newFacts(g.rng)
	s.userID, s.ip = u.id(), u.ip(g.rng)
	s.id = "s-" + g.render.hex(6)
	s.conversation = "c-" + g.render.hex(6)
	s.trace = g.render.hex(16)
}

func (g *Generator) newSession() *session {
	if n := len(g.free); n > 0 {
		s := g.free[n-1]
		g.free = g.free[:n-1]
		return s
	}
	return new(session)
}

// schedule puts a user's next session on the agenda.
func (g *Generator) schedule(u *user, after time.Time) {
	g.push(entry{at: u.nextSession(g.rng, after, g.rate*float64(u.weight)), user: u})
}

func (g *Generator) later(t time.Time, mean time.Duration) time.Time {
	return t.Add(time.Duration(g.rng.ExpFloat64() * float64(mean)))
}

func (g *Generator) push(e entry) {
	g.count++
	e.order = g.count
	heap.Push(&g.agenda, e)
}

// entry is when a session begins (session is nil) or goes on. user is nil for
// the system itself.
type entry struct {
	at       time.Time
	order    uint64
	user     *user
	session  *session
	incident bool
}

// agenda is a heap of what comes next.
type agenda []entry

func (a agenda) Len() int { return len(a) }

func (a agenda) Less(i, j int) bool {
	if !a[i].at.Equal(a[j].at) {
		return a[i].at.Before(a[j].at)
	}
	return a[i].order < a[j].order
}

func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }

// Push is for package heap.
func (a *agenda) Push(x any) { *a = append(*a, x.(entry)) }

// Pop is for package heap.
func (a *agenda) Pop() any {
	old := *a
	e := old[len(old)-1]
	old[len(old)-1] = entry{}
	*a = old[:len(old)-1]
	return e
}
