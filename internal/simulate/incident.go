package simulate

import (
	"slices"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Kind is what happens in an incident.
type Kind string

// The kinds of incidents.
const (
	InjectedSpammer  Kind = "injected spammer"
	CostSpike        Kind = "cost spike"
	SlowExfiltration Kind = "slow exfiltration"
	StolenKey        Kind = "stolen key"
	BruteForce       Kind = "brute-force log-in"
	PrivilegeCreep   Kind = "privilege creep"
	NewTool          Kind = "new tool on protected data"
	LimitProbing     Kind = "rate-limit probing"
	TokenAbuse       Kind = "token abuse"
	SilentProducer   Kind = "producer gone silent"
	DenialProbing    Kind = "denial probing"
	ReadThenSend     Kind = "reading, then sending"
	LostEvents       Kind = "events lost"
	FailingAgent     Kind = "failing agent"
	BusyNight        Kind = "agent busy by night"
	SlowRise         Kind = "slow rise of a tenant"
	ServiceByNight   Kind = "service busy by night"
)

// Kinds are all of them.
func Kinds() []Kind {
	return []Kind{InjectedSpammer, CostSpike, SlowExfiltration, StolenKey, BruteForce, PrivilegeCreep, NewTool, LimitProbing, TokenAbuse, SilentProducer,
		DenialProbing, ReadThenSend, LostEvents, FailingAgent, BusyNight, SlowRise, ServiceByNight}
}

// Label says where an incident is.
type Label struct {
	Kind     Kind
	Tenant   string
	Subject  [16]byte // zero: it is about the agent or the producer
	Agent    string
	Producer string
	From, To int64 // microseconds since 1970

	user   int
	number int
}

var (
	mediumFinding = []scan.Finding{{Name: "injection.authority_claim"}}
	highFinding   = []scan.Finding{{Name: "injection.instruction_override"}, {Name: "injection.boundary"}}
)

// plan chooses who, what and when. No user has two incidents, so that each stands for itself.
func (w *World) plan() {
	rng := w.pick(forIncident, -1, 0)
	kinds := Kinds()[:len(Kinds())-len(collective)]
	used := map[int]bool{}
	silent := map[string]bool{}
	for n := range w.cfg.Incidents {
		l := Label{Kind: kinds[n%len(kinds)], number: n}
		for try := 0; ; try++ {
			i := rng.IntN(w.cfg.Users)
			u := &w.users[i]
			d := w.cfg.Quiet + rng.IntN(w.cfg.Days-w.cfg.Quiet)
			if try < 1000 && (used[i] || d < u.joins+3 || d >= u.away[0] && d < u.away[1] || d%7 >= 5 && l.Kind != StolenKey && u.weekends < 0.5) {
				continue
			}
			t := &w.tenants[u.tenant]
			l.user, l.Tenant, l.Subject = i, t.name, u.subject
			l.Agent = agents[u.agents[0]].name
			l.Producer = ""
			from := w.start + int64(d)*day
			working := from + int64((u.begins+0.2*u.lasts+0.5*u.lasts*rng.Float64())*float64(hour))
			switch l.Kind {
			case InjectedSpammer:
				l.From = from + 2*hour + 34*minute
				l.To = l.From + 8*hour
			case CostSpike:
				l.From, l.To = working, working+40*minute
			case SlowExfiltration:
				l.From = from + int64(u.begins*float64(hour))
				l.To = l.From + 9*hour
			case StolenKey:
				l.From = from + int64(rng.Float64()*5*float64(hour))
				l.To = l.From + 45*minute
			case BruteForce, LimitProbing:
				l.From = from + int64(rng.Float64()*23*float64(hour))
				l.To = l.From + 8*minute
			case PrivilegeCreep:
				l.From, l.To = working, working+2*hour
			case NewTool:
				l.From, l.To = working, working+3*minute
			case TokenAbuse:
				l.From, l.To = working, working+30*minute
			case DenialProbing:
				l.From, l.To = working, working+15*minute
			case ReadThenSend:
				l.From, l.To = working, working+25*minute
			case SilentProducer:
				l.From = from + int64((8+8*rng.Float64())*float64(hour))
				l.To = l.From + 3*hour
				l.Subject, l.Agent, l.Producer = [16]byte{}, "", t.producers[u.producer]
			case LostEvents:
				l.From = from + int64((9+5*rng.Float64())*float64(hour))
				l.To = l.From + 20*minute
				l.Subject, l.Agent, l.Producer = [16]byte{}, "", t.producers[u.producer]
			case FailingAgent:
				l.From = from + int64((10+4*rng.Float64())*float64(hour))
				l.To = l.From + hour
				l.Subject = [16]byte{}
			}
			if l.Producer != "" && silent[l.Producer] && try < 1000 || l.Kind == FailingAgent && u.tenant != 0 && try < 1000 {
				continue
			}
			if try < 1000 && w.hidden(&l, t.producers[u.producer]) {
				continue
			}
			silent[l.Producer] = true
			used[i] = true
			break
		}
		w.labels = append(w.labels, l)
	}
}

// hidden tells whether nothing of an incident could be seen, since its producer is silent or loses events meanwhile, or whether it would hide another.
func (w *World) hidden(l *Label, producer string) bool {
	return slices.ContainsFunc(w.labels, func(o Label) bool {
		other := w.tenants[w.users[o.user].tenant].producers[w.users[o.user].producer]
		return (l.Producer != "" || o.Producer != "") && producer == other && l.From < o.To+hour && o.From < l.To+hour
	})
}

// begin adds the events of the incidents that begin on a day.
func (w *World) begin(out []anomaly.Observation, d int) []anomaly.Observation {
	from, to := w.start+int64(d)*day, w.start+int64(d+1)*day
	for i := range w.labels {
		l := &w.labels[i]
		if l.From < from || l.From >= to || l.Kind == SilentProducer || l.Kind == FailingAgent || l.Kind == LostEvents {
			continue
		}
		if slices.Contains(collective, l.Kind) {
			out = w.collective(out, l, d)
			continue
		}
		m := w.maker(out, &w.users[l.user], w.pick(forIncident, l.number, 1))
		m.at = l.From
		m.incident(l)
		out = m.out
	}
	return out
}

// change makes the calls of failing agents fail.
func (w *World) change(all []anomaly.Observation, d int) {
	for i := range w.labels {
		l := &w.labels[i]
		if l.Kind != FailingAgent {
			continue
		}
		rng := w.pick(forIncident, l.number, 2+d)
		for k := range all {
			if o := &all[k]; o.Tenant == l.Tenant && o.Agent == l.Agent && o.Time >= l.From && o.Time < l.To && o.Type != "message.user" && rng.Float64() < 0.9 {
				o.Outcome, o.ErrorType, o.Rows = events.Failure, "upstream", 0
			}
		}
	}
}

// silenced tells whether an event is never made, since its producer stands still.
func (w *World) silenced(o *anomaly.Observation) bool {
	for i := range w.labels {
		l := &w.labels[i]
		if l.Kind == SilentProducer && o.Producer == l.Producer && o.Time >= l.From && o.Time < l.To {
			return true
		}
	}
	return false
}

// lost tells whether an event never reaches Kafka.
func (w *World) lost(o *anomaly.Observation) bool {
	for i := range w.labels {
		l := &w.labels[i]
		if l.Kind == LostEvents && o.Producer == l.Producer && o.Time >= l.From && o.Time < l.To {
			return o.Event[0] < 200
		}
	}
	return false
}

// wait passes time, on average as much.
func (m *maker) wait(mean int64) { m.at += int64(m.rng.ExpFloat64() * float64(mean)) }

func (m *maker) incident(l *Label) {
	rng := m.rng
	a := &agents[m.u.agents[0]]
	m.base.Agent, m.base.AgentName, m.base.Session = a.name, a.name, rng.Uint64()
	mail := tool{"send_email", "message", 0, 40, 1}
	switch l.Kind {
	case InjectedSpammer:
		// 12,000 USD an hour and 47,000 addresses in eight hours: 1.63 mails and 3.33 USD a second.
		o := m.toolCall(&tool{"ticket_read", "ticket", 1, 140, 1}, 0)
		o.Threat, o.Findings = scan.High, highFinding
		m.at += 900_000
		for i := 0; m.at < l.To; i++ {
			switch {
			case i%100 == 0:
				m.toolCall(&tool{"crm_lookup", "customer", 160, 300, 1}, 0)
			case i%4 == 0:
				o := m.modelCall(&models[dearest], 90_000, 3000)
				o.CostMicroUSD = uint64(6_200_000 * (0.8 + 0.4*rng.Float64()))
			default:
				m.toolCall(&mail, 0)
			}
			m.wait(460_000)
		}
	case CostSpike:
		for m.at < l.To {
			m.modelCall(&models[dearest], lognormal(rng, 30_000, 0.3), lognormal(rng, 3000, 0.3))
			m.wait(12 * second)
		}
	case SlowExfiltration:
		t := tool{a.tools[0].name, a.tools[0].resource, 350, 300, 1}
		for m.at < l.To {
			m.toolCall(&t, 0)
			m.wait(7 * minute)
		}
	case StolenKey:
		m.network = rng.Uint64() | 1<<61
		m.logInAs()
		t := tool{"crm_lookup", "customer", 60, 200, 1}
		for m.at < l.To {
			if rng.Float64() < 0.4 {
				m.model(a)
			} else {
				m.toolCall(&t, 0.02)
			}
			m.wait(25 * second)
		}
	case BruteForce:
		m.network = rng.Uint64() | 1<<61
		m.base.Agent, m.base.AgentName = "", ""
		for m.at < l.To {
			m.event("auth.login", "login").Outcome = events.Failure
			m.wait(9 * second)
		}
	case PrivilegeCreep:
		for i := 0; i < 9 && m.at < l.To; i++ {
			o := m.event("permission.change", "grant")
			o.ResourceType = []string{"role", "iam_role", "bucket"}[i%3]
			m.wait(6 * minute)
			m.toolCall(&tool{"console_open", []string{"billing", "vault", "backup"}[i%3], 5, 200, 1}, 0)
			m.wait(6 * minute)
		}
	case NewTool:
		for range 4 {
			m.toolCall(&tool{"secrets_read", "secret", 3, 90, 1}, 0)
			m.wait(30 * second)
		}
	case LimitProbing:
		for m.at < l.To {
			o := m.event("rate_limit.exceeded", "limit")
			o.Outcome = events.Blocked
			m.wait(12 * second)
		}
	case TokenAbuse:
		for m.at < l.To {
			m.modelCall(&models[0], lognormal(rng, 110_000, 0.2), lognormal(rng, 6000, 0.3))
			m.wait(25 * second)
		}
	case DenialProbing:
		for m.at < l.To {
			o := m.toolCall(&agents[rng.IntN(len(agents))].tools[rng.IntN(3)], 0)
			o.Outcome, o.Rows = events.Denied, 0
			m.wait(35 * second)
		}
	case ReadThenSend:
		t := tool{a.tools[0].name, a.tools[0].resource, 180, 300, 1}
		for range 14 {
			m.toolCall(&t, 0)
			m.wait(30 * second)
		}
		for m.at < l.To {
			m.toolCall(&mail, 0)
			m.wait(22 * second)
		}
	}
}

func (m *maker) logInAs() {
	m.event("auth.login", "login")
	m.at += 4 * second
}
