package anomaly

import "slices"

// Forget erases a person: baselines, what the open minutes hold, incidents about the person, and references to the person's events in incidents about others.
// What it taught the baselines of agents and tenants, numbers that nobody can tell apart any more, stays.
func (e *Engine) Forget(subject [16]byte) {
	if subject == ([16]byte{}) {
		return
	}
	for _, t := range e.byIndex {
		key := entityKey{t.index, kindSubject, subject}
		if i, ok := e.index[key]; ok {
			for _, m := range e.open {
				if c := m.cells[i]; c != nil {
					delete(m.cells, i)
					e.dropCell(c)
				}
			}
			e.gone = append(e.gone, e.stateKey(e.entities.at(i)))
			e.forgetEntity(i)
			delete(e.directives.bars, key)
		}
	}
	for _, m := range e.open {
		for _, c := range m.cells {
			c.refs = slices.DeleteFunc(c.refs, func(r ref) bool { return r.subject == subject })
			c.proofs = slices.DeleteFunc(c.proofs, func(p proof) bool { return p.ref.subject == subject })
			for i := range c.sightings {
				if c.sightings[i].ref.subject == subject {
					c.sightings[i].ref = ref{}
				}
			}
		}
	}
	for _, w := range e.watches {
		if w == nil {
			continue
		}
		n := len(w.refs)
		if w.refs = slices.DeleteFunc(w.refs, func(r ref) bool { return r.subject == subject }); len(w.refs) != n {
			e.touch(w.entity)
		}
	}
	e.found.forget(e, subject)
	e.directives.waiting = slices.DeleteFunc(e.directives.waiting, func(d Directive) bool { return d.Subject == subject })
}

// forgetEntity gives an entity's room back.
func (e *Engine) forgetEntity(i uint32) {
	e.unwatch(i)
	ent := e.entities.at(i)
	delete(e.index, ent.key)
	t := e.byIndex[ent.key.tenant]
	t.self, t.lastAgent = 0, 0
	e.counts[ent.key.kind]--
	e.changed = slices.DeleteFunc(e.changed, func(j uint32) bool { return j == i })
	e.entities.drop(i)
}

func (f *incidents) forget(e *Engine, subject [16]byte) {
	for _, m := range []map[entityKey]*ongoing{f.open, f.early} {
		for key, in := range m {
			if in.Subject == subject {
				delete(m, key)
				if _, ok := f.changed[in.ID]; ok || in.said {
					f.gone = append(f.gone, goneIncident{in.ID, e.incidentKey(in)})
				}
				delete(f.changed, in.ID)
				continue
			}
			n := len(in.refs)
			in.refs = slices.DeleteFunc(in.refs, func(r ref) bool { return r.subject == subject })
			if len(in.refs) != n {
				in.writeEvents()
				if f.open[key] == in {
					f.changed[in.ID] = in
				}
			}
		}
	}
	f.forgetRecalled(subject)
	f.out = slices.DeleteFunc(f.out, func(in Incident) bool { return in.Subject == subject })
	f.ends = noMinute
}
