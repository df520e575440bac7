package simulate

import (
	"encoding/binary"
	"slices"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// collective are the kinds in which everybody does what he does on other days too: only the sum over many, or the hour, is out of the ordinary.
var collective = []Kind{BusyNight, SlowRise, ServiceByNight}

// pipelines are agents that only services work with.
var pipelines = []agent{
	{"import-pipeline", []tool{{"sql_query", "table", 40, 700, 4}, {"crm_query", "account", 15, 200, 3}, {"write_rows", "table", 0, 300, 2}}, [2]int{0, 0}, 1500, 250},
	{"mail-triage", []tool{{"inbox_read", "message", 3, 150, 4}, {"kb_search", "article", 5, 90, 3}, {"ticket_update", "ticket", 0, 120, 2}}, [2]int{0, 0}, 2200, 180},
}

// newService makes an account of a program: a steady rate by day, little by night, on all days.
func (w *World) newService(i int) user {
	rng := w.pick(forService, i, 0)
	u := user{number: w.cfg.Users + i, tenant: i % w.cfg.Tenants, shift: -1, away: [2]int{-1, -1}, service: true, size: 1}
	binary.LittleEndian.PutUint64(u.subject[0:], rng.Uint64())
	binary.LittleEndian.PutUint64(u.subject[8:], rng.Uint64())
	u.producer = rng.IntN(len(w.tenants[u.tenant].producers))
	u.networks = []uint64{uint64(u.tenant)*1000 + 900 + uint64(i)}
	u.begins, u.lasts = 6+2*rng.Float64(), 11+2*rng.Float64()
	u.calls = 2.5 + 2*rng.Float64() // a minute, by day
	return u
}

func (u *user) pipeline() *agent { return &pipelines[u.number%len(pipelines)] }

// nightShare is how much of its work by day a service does by night.
const nightShare = 0.06

func (w *World) serviceDay(out []anomaly.Observation, u *user, d int) []anomaly.Observation {
	m := w.maker(out, u, w.pick(forDay, u.number, d))
	from := w.start + int64(d)*day
	begin, end := from+int64(u.begins*float64(hour)), from+int64((u.begins+u.lasts)*float64(hour))
	load := lognormal(m.rng, 1, 0.15) // of this day
	for m.at = from; m.at < from+day; {
		share := nightShare
		if m.at >= begin && m.at < end {
			share = load
		}
		m.wait(int64(float64(minute) / u.calls / share))
		m.service()
	}
	return m.out
}

// service is one call of a service.
func (m *maker) service() {
	a := m.u.pipeline()
	m.base.Agent, m.base.AgentName = a.name, a.name
	if m.rng.Float64() < 0.3 {
		m.model(a)
	} else {
		m.tool(a, -1, 0.01)
	}
}

// planCollective chooses who and when of the collective incidents, one kind after the other.
func (w *World) planCollective() {
	rng := w.pick(forIncident, -2, 0)
	for n := range w.cfg.Collective {
		l := Label{Kind: collective[n%len(collective)], number: w.cfg.Incidents + n}
		for try := 0; try < 1000; try++ {
			d := w.cfg.Days - 1 - rng.IntN(max(w.cfg.Days-w.cfg.Quiet-4, 1))
			from := w.start + int64(d)*day
			switch l.Kind {
			case BusyNight:
				l.Tenant, l.Agent = w.tenants[rng.IntN((w.cfg.Tenants+1)/2)].name, agents[rng.IntN(len(agents))].name
				l.From = from + int64((1+2*rng.Float64())*float64(hour))
				l.To = l.From + 2*hour
			case SlowRise:
				l.Tenant = w.tenants[rng.IntN(w.cfg.Tenants)].name
				l.From = from + 9*hour
				l.To = l.From + 7*hour
			case ServiceByNight:
				if w.cfg.Services == 0 {
					continue
				}
				u := &w.users[w.cfg.Users+rng.IntN(w.cfg.Services)]
				l.user, l.Tenant, l.Subject, l.Agent = u.number, w.tenants[u.tenant].name, u.subject, u.pipeline().name
				l.From = from + int64(rng.Float64()*float64(hour))
				l.To = l.From + 3*hour
			}
			if l.Kind == SlowRise && d%7 >= 5 || w.coincides(&l) {
				continue
			}
			w.labels = append(w.labels, l)
			break
		}
	}
	slices.SortFunc(w.labels, func(a, b Label) int { return int(a.From/minute - b.From/minute) })
}

// coincides tells whether something goes on in the same tenant within some hours that would explain it, hide it, or be said in one with it.
func (w *World) coincides(l *Label) bool {
	return slices.ContainsFunc(w.labels, func(o Label) bool {
		if o.Tenant == l.Tenant && o.Kind == l.Kind && (o.Agent == l.Agent || o.Subject != [16]byte{}) {
			return true // the second time it is no surprise
		}
		if o.Tenant != l.Tenant || l.From >= o.To+2*hour || o.From >= l.To+2*hour {
			return false
		}
		return o.Subject == l.Subject && l.Subject != [16]byte{} || o.Agent == l.Agent || o.Producer != "" || o.Kind == FailingAgent || o.Kind == InjectedSpammer || o.Kind == CostSpike ||
			slices.Contains(collective, o.Kind) && o.Kind != ServiceByNight
	})
}

// riseTo is by what multiple of the usual the rate of sessions rises, above the usual.
const riseTo = 2.0

// collective adds the sessions of many, or the work of a service.
func (w *World) collective(out []anomaly.Observation, l *Label, d int) []anomaly.Observation {
	rng := w.pick(forIncident, l.number, 1)
	if l.Kind == ServiceByNight {
		m := w.maker(out, &w.users[l.user], rng)
		for m.at = l.From; m.at < l.To; {
			m.wait(int64(float64(minute) / m.u.calls))
			m.service()
		}
		return m.out
	}
	var who []*user
	perHour := 0.0 // sessions of all of them, by day
	for i := range w.users[:w.cfg.Users] {
		u := &w.users[i]
		if w.tenants[u.tenant].name != l.Tenant || d < u.joins+3 || d >= u.away[0] && d < u.away[1] || w.has(u) {
			continue
		}
		share := 1.0
		if l.Kind == BusyNight {
			if share = 0; slices.ContainsFunc(u.agents, func(a int) bool { return agents[a].name == l.Agent }) {
				share = 1 / float64(len(u.agents))
			}
		}
		if share > 0 {
			who = append(who, u)
			perHour += share * u.sessions / u.lasts
		}
	}
	if len(who) == 0 {
		return out
	}
	span := float64(l.To-l.From) / float64(hour)
	n := int(perHour * span)
	if l.Kind == SlowRise {
		n = int(perHour * span * riseTo / 2)
	}
	first := rng.IntN(len(who))
	for i := range n {
		u := who[(first+i)%len(who)]
		at := l.From + int64(rng.Float64()*float64(l.To-l.From))
		a := &agents[u.agents[rng.IntN(len(u.agents))]]
		if l.Kind == BusyNight {
			a = &agents[slices.IndexFunc(agents, func(a agent) bool { return a.name == l.Agent })]
		} else {
			// The later the more: the larger of two.
			at = max(at, l.From+int64(rng.Float64()*float64(l.To-l.From)))
			// When the user works.
			if begins := w.start + int64(d)*day + int64(u.begins*float64(hour)); at < begins || at > begins+int64(u.lasts*float64(hour)) {
				u = who[rng.IntN(len(who))]
			}
		}
		m := w.maker(out, u, rng)
		m.dear, m.at = u.dear, at
		m.session(*a, u.calls, d)
		out = m.out
	}
	return out
}

// has tells whether the user has an incident of its own.
func (w *World) has(u *user) bool {
	return slices.ContainsFunc(w.labels, func(l Label) bool { return l.Subject == u.subject })
}
