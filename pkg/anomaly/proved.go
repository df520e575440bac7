package anomaly

import "slices"

// maxProved is how many events with findings and matches of rules are remembered beyond their minute.
const maxProved = 4096

// proved are the last events of which rules or findings had something to say, by fingerprint, with the minute in which they counted: one that comes again when its
// minute is closed, as what a producer sends again hours later does, must not be an incident again.
type proved struct {
	minutes map[uint64]int64
	order   []uint64 // the oldest first
}

// elsewhere tells whether an event counted in another minute than this.
func (p *proved) elsewhere(fingerprint uint64, minute int64) bool {
	at, known := p.minutes[fingerprint]
	return known && at != minute
}

func (p *proved) add(fingerprint uint64, minute int64) {
	if _, known := p.minutes[fingerprint]; known {
		return
	}
	if p.minutes == nil {
		p.minutes = map[uint64]int64{}
	}
	if len(p.order) >= maxProved {
		drop := len(p.order) - maxProved + 1
		for _, f := range p.order[:drop] {
			delete(p.minutes, f)
		}
		p.order = slices.Delete(p.order, 0, drop)
	}
	p.minutes[fingerprint] = minute
	p.order = append(p.order, fingerprint)
}

// fields goes through those of minutes that are closed: the others are read again.
func (p *proved) fields(x *codec, closed int64) {
	if x.decode && x.err == nil && len(x.data) == 0 {
		return // a state from before they were kept
	}
	var kept []uint64
	for _, f := range p.order {
		if p.minutes[f] <= closed {
			kept = append(kept, f)
		}
	}
	n := x.length(len(kept), maxProved)
	for i := range n {
		var f uint64
		var minute int64
		if !x.decode {
			f, minute = kept[i], p.minutes[kept[i]]
		}
		x.u64(&f, 1<<64-1)
		x.i64(&minute)
		if x.decode && x.err == nil {
			p.add(f, minute)
		}
	}
}
