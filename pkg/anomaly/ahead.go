package anomaly

// aheadOf is how many observations are looked up together.
const aheadOf = 16

// ahead is where the users of the next observations stand.
type ahead struct {
	entity [aheadOf]uint32
	known  [aheadOf]bool
	cells  [aheadOf]*cell
	// touched keeps the compiler from leaving out reads whose values nobody needs.
	touched uint64
}

// ObserveAll is Observe for each of some observations, in their order, and takes less time. What is kept of many users lies all over the memory, and what it takes to find it waits for
// one read after the other: from the index to the entity, to its hour, to its cell. So this is done for some users at once, step by step, whose reads wait together.
func (e *Engine) ObserveAll(all []Observation) {
	for len(all) > 0 {
		n := min(len(all), aheadOf)
		e.lookAhead(all[:n])
		for i := range all[:n] {
			e.hint = 0
			if e.ahead.known[i] {
				e.hint = e.ahead.entity[i] + 1
			}
			e.Observe(&all[i])
		}
		e.hint = 0
		all = all[n:]
	}
}

// lookAhead changes nothing: what it finds may be another's by the time it is used, which add checks.
func (e *Engine) lookAhead(next []Observation) {
	a := &e.ahead
	for k := range next {
		o := &next[k]
		a.known[k] = false
		if t := e.tenants[o.Tenant]; t != nil && o.Subject != ([16]byte{}) {
			a.entity[k], a.known[k] = e.index[entityKey{t.index, kindSubject, o.Subject}]
		}
	}
	touched := uint64(0)
	for k := range next {
		a.cells[k] = nil
		if a.known[k] {
			if l := &e.lives[e.entities.at(a.entity[k]).live]; l.last != nil {
				a.cells[k] = l.last
				touched += l.hourSums[0] + l.hourSums[numRates-1] + l.daySums[numRates-1]
			}
		}
	}
	for k := range next {
		if c := a.cells[k]; c != nil {
			touched += c.events + c.sums[numRates-1] + uint64(len(c.sightings)) + uint64(len(c.refs))
			for i := range c.sightings {
				touched += uint64(c.sightings[i].hash)
			}
			if n := len(c.refs); n > 0 {
				touched += uint64(c.refs[n-1].time)
			}
		}
	}
	a.touched = touched
	clear(a.cells[:]) // cells are reused
}
