package simulate

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Day makes all events of a day, in the order in which Kafka takes them. Days are independent of each other; what was begun on one goes on into the next.
func (w *World) Day(d int) []anomaly.Observation {
	var all []anomaly.Observation
	for begun := max(d-1, 0); begun <= d; begun++ {
		var out []anomaly.Observation
		for i := range w.users {
			out = w.userDay(out, &w.users[i], begun)
		}
		all = append(all, w.begin(out, begun)...)
	}
	all = w.background(all, d)
	from, to := w.start+int64(d)*day, w.start+int64(d+1)*day
	all = slices.DeleteFunc(all, func(o anomaly.Observation) bool { return o.Time < from || o.Time >= to })
	w.change(all, d)
	all = slices.DeleteFunc(all, func(o anomaly.Observation) bool { return w.silenced(&o) })
	slices.SortStableFunc(all, func(a, b anomaly.Observation) int {
		switch {
		case a.Time < b.Time:
			return -1
		case a.Time > b.Time:
			return 1
		}
		return 0
	})
	return w.number(all, d)
}

// number gives each event its place in its producer's count and in Kafka. Numbers of a day begin at a bound of what the days before can have, which a
// producer's restart looks like from outside as well: so each day is a new run of each producer, and named as one where it would show.
func (w *World) number(all []anomaly.Observation, d int) []anomaly.Observation {
	rng := w.pick(forDay, -1, d)
	seqs := map[string]uint64{}
	offsets := map[int32]int64{}
	kept := all[:0]
	for i := range all {
		o := all[i]
		o.Partition = int32(o.Subject[0]) % partitions
		o.Offset = int64(d)<<32 + offsets[o.Partition]
		offsets[o.Partition]++
		o.Recorded = o.Time + int64(20_000+rng.IntN(400_000))
		o.ProducerSeq = seqs[o.Producer]
		seqs[o.Producer]++
		if !w.lost(&o) {
			kept = append(kept, o)
		}
	}
	return kept
}

const partitions = 4

// Partitions are the numbers of the events' partitions.
func Partitions() []int32 { return []int32{0, 1, 2, 3} }

// maker writes a user's events.
type maker struct {
	w       *World
	rng     *rand.Rand
	u       *user
	base    anomaly.Observation
	at      int64
	out     []anomaly.Observation
	dear    float64
	network uint64
}

func (m *maker) event(kind, action string) *anomaly.Observation {
	o := m.base
	o.Type, o.Action, o.Outcome, o.Time, o.Network = kind, action, events.Success, m.at, m.network
	binary.LittleEndian.PutUint64(o.Event[0:], m.rng.Uint64())
	binary.LittleEndian.PutUint64(o.Event[8:], m.rng.Uint64())
	m.out = append(m.out, o)
	return &m.out[len(m.out)-1]
}

func (w *World) maker(out []anomaly.Observation, u *user, rng *rand.Rand) *maker {
	t := &w.tenants[u.tenant]
	m := &maker{w: w, rng: rng, u: u, out: out, network: u.networks[0]}
	m.base = anomaly.Observation{Tenant: t.name, Subject: u.subject, Producer: t.producers[u.producer]}
	return m
}

// userDay is what a user does on an ordinary day, and on those that are out of the ordinary without being wrong.
func (w *World) userDay(out []anomaly.Observation, u *user, d int) []anomaly.Observation {
	if d < u.joins || d >= u.away[0] && d < u.away[1] {
		return out
	}
	if u.service {
		return w.serviceDay(out, u, d)
	}
	rng := w.pick(forDay, u.number, d)
	works := 0.93
	if weekday := d % 7; weekday >= 5 {
		works = u.weekends
	}
	if rng.Float64() >= works {
		return out
	}
	m := w.maker(out, u, rng)
	m.dear = u.dear
	if rng.Float64() < 0.3 {
		m.network = u.networks[1]
	}
	if rng.Float64() < u.travels {
		m.network = rng.Uint64() | 1<<62
	}
	sessions := lognormal(rng, u.sessions, 0.4)
	calls := u.calls
	if u.shift >= 0 && d >= u.shift {
		sessions *= math.Sqrt(u.shiftBy)
		calls *= math.Sqrt(u.shiftBy)
	}
	begin := w.start + int64(d)*day + int64((u.begins+0.4*rng.NormFloat64())*float64(hour))
	m.at = begin
	m.logIn()
	for range int(sessions + rng.Float64()) {
		m.at = begin + int64(rng.Float64()*u.lasts*float64(hour))
		m.session(agents[u.agents[rng.IntN(len(u.agents))]], calls, d)
	}
	if rng.Float64() < u.late {
		m.at = w.start + int64(d)*day + int64(20*hour) + int64(rng.Float64()*float64(7*hour))
		m.session(agents[u.agents[0]], calls, d)
	}
	return m.out
}

func (m *maker) logIn() {
	for m.rng.Float64() < m.u.clumsy*2 {
		o := m.event("auth.login", "login")
		o.Outcome = events.Failure
		m.at += int64(m.rng.ExpFloat64() * 8 * float64(second))
	}
	m.event("auth.login", "login")
	m.at += 5 * second
}

// session is a conversation with an agent.
func (m *maker) session(a agent, calls float64, d int) {
	rng := m.rng
	m.base.Session = rng.Uint64()
	m.base.Agent, m.base.AgentName = a.name, a.name
	n := int(lognormal(rng, calls, 0.7)) + 1
	if rng.Float64() < 0.012 { // a batch, as people have now and then
		n *= 5 + rng.IntN(6)
	}
	n = min(n, 400)
	o := m.event("message.user", "send")
	m.findings(o)
	failing := 0.025
	if rng.Float64() < 0.02 { // a tool is down
		failing = 0.5
	}
	for range n {
		m.at += int64(rng.ExpFloat64() * 14 * float64(second))
		switch {
		case rng.Float64() < 0.45:
			m.model(&a)
		default:
			m.tool(&a, d, failing)
		}
	}
	m.base.Session, m.base.Agent, m.base.AgentName = 0, "", ""
}

// findings are what a scanner says of harmless texts now and then.
func (m *maker) findings(o *anomaly.Observation) {
	o.Threat = 1
	if m.rng.Float64() < 0.006 {
		o.Threat = 2
		o.Findings = mediumFinding
	}
}

func (m *maker) model(a *agent) {
	rng := m.rng
	md := &models[a.models[0]]
	if rng.Float64() < m.dear {
		md = &models[a.models[1]]
	}
	m.modelCall(md, lognormal(rng, a.input*m.u.size, 0.8), lognormal(rng, a.output*m.u.size, 0.8))
}

func (m *maker) modelCall(md *model, in, out float64) *anomaly.Observation {
	o := m.event("llm.call", "chat")
	o.Provider, o.Model = md.provider, md.name
	o.InputTokens, o.OutputTokens = uint64(min(in, 200_000)), uint64(min(out, 32_000))
	o.CostMicroUSD = uint64(float64(o.InputTokens)*md.input + float64(o.OutputTokens)*md.output)
	o.DurationMillis = 300 + uint64(float64(o.OutputTokens)*10)
	return o
}

func (m *maker) tool(a *agent, d int, failing float64) {
	rng := m.rng
	t := &m.w.tenants[m.u.tenant]
	if d >= t.rollout+m.u.rolledOut && rng.Float64() < 0.08 {
		o := m.event("tool.call", "call")
		o.Tool, o.ResourceType, o.DurationMillis = t.tool, "workspace", uint64(lognormal(rng, 300, 0.6))
		return
	}
	from := a
	if rng.Float64() < 0.003 {
		from = &agents[rng.IntN(len(agents))] // somebody tries something
	}
	sum := 0.0
	for i := range from.tools {
		sum += from.tools[i].share
	}
	at := rng.Float64() * sum
	i := 0
	for ; i < len(from.tools)-1 && at >= from.tools[i].share; i++ {
		at -= from.tools[i].share
	}
	m.toolCall(&from.tools[i], failing)
}

func (m *maker) toolCall(tl *tool, failing float64) *anomaly.Observation {
	rng := m.rng
	o := m.event("tool.call", "call")
	o.Tool, o.ResourceType = tl.name, tl.resource
	o.DurationMillis = uint64(lognormal(rng, tl.millis, 0.6))
	if tl.rows > 0 {
		o.Rows = uint64(lognormal(rng, tl.rows, 0.9))
	}
	switch x := rng.Float64(); {
	case x < failing:
		o.Outcome, o.Rows, o.ErrorType = events.Failure, 0, "timeout"
	case x < failing+0.004:
		o.Outcome, o.Rows = events.Denied, 0
	case x < failing+0.0045:
		o.Type, o.Action, o.Tool, o.Outcome, o.Rows = "rate_limit.exceeded", "limit", "", events.Blocked, 0
	}
	return o
}

// background is what producers send of their own accord.
func (w *World) background(out []anomaly.Observation, d int) []anomaly.Observation {
	for i := range w.tenants {
		t := &w.tenants[i]
		for k, name := range t.producers {
			rng := w.pick(forProducer, 100*i+k, d)
			m := &maker{w: w, rng: rng, out: out}
			m.base = anomaly.Observation{Tenant: t.name, Producer: name}
			for m.at = w.start + int64(d)*day; m.at < w.start+int64(d+1)*day; m.at += int64(float64(minute) * (1.5 + 2*rng.Float64())) {
				m.event("system.health", "report")
			}
			out = m.out
		}
	}
	return out
}
