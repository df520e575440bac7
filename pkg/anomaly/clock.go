package anomaly

import (
	"math"
	"slices"
)

type partition struct {
	number int32
	clock  int64
	next   int64 // offset after the last one observed
	begun  bool
	// settled is next when a minute was closed last: of what stands before it, nothing is new in minutes that are closed.
	settled int64
	// waits: events recorded at held or later are still to come, whatever the clock says.
	waits bool
	held  int64
}

// Partitions tells which partitions there are: a minute closes when the clocks of all of them have passed its end by Lateness. Those that are gone are no
// longer waited for.
func (e *Engine) Partitions(numbers []int32) {
	kept := make([]partition, 0, len(numbers))
	for _, n := range numbers {
		if i := e.place(n); i >= 0 {
			kept = append(kept, e.partitions[i])
		} else {
			kept = append(kept, partition{number: n, clock: math.MinInt64})
		}
	}
	// Places stand in the open minutes, so they must not move: what is gone stays as one that is always ahead.
	for i := range e.partitions {
		p := &e.partitions[i]
		if !slices.Contains(numbers, p.number) {
			p.clock = math.MaxInt64
		}
	}
	for i := range kept {
		if j := e.place(kept[i].number); j >= 0 {
			if e.partitions[j].clock == math.MaxInt64 {
				e.partitions[j].clock = math.MinInt64
			}
		} else {
			e.partitions = append(e.partitions, kept[i])
		}
	}
	e.advance()
}

func (e *Engine) place(number int32) int {
	// Partitions are few, and mostly stand at their number.
	if int(number) < len(e.partitions) && number >= 0 && e.partitions[number].number == number {
		return int(number)
	}
	for i := range e.partitions {
		if e.partitions[i].number == number {
			return i
		}
	}
	return -1
}

// Clock tells that a partition has been read up to a record time, in microseconds since 1970: nothing that was recorded more than Lateness before it is to
// come. Clocks never go back.
func (e *Engine) Clock(number int32, micros int64) {
	i := e.place(number)
	if i < 0 {
		e.partitions = append(e.partitions, partition{number: number, clock: math.MinInt64})
		i = len(e.partitions) - 1
	}
	p := &e.partitions[i]
	if micros <= p.clock {
		return
	}
	before := p.clock
	p.clock = micros
	if before == math.MinInt64 || floorDiv(before, microsPerMinute) != floorDiv(micros, microsPerMinute) {
		e.advance()
	}
}

// Hold tells that events of a partition which were recorded at a time or later are still to come, although what stands behind them was observed: minutes stay open as
// if the partition's clock stood there. Release ends it.
func (e *Engine) Hold(number int32, micros int64) {
	if i := e.place(number); i >= 0 {
		e.partitions[i].waits, e.partitions[i].held = true, micros
		return
	}
	e.partitions = append(e.partitions, partition{number: number, clock: math.MinInt64, waits: true, held: micros})
}

// Release ends what Hold began.
func (e *Engine) Release(number int32) {
	if i := e.place(number); i >= 0 && e.partitions[i].waits {
		e.partitions[i].waits = false
		e.advance()
	}
}

// advance closes the minutes that all clocks have passed by Lateness.
func (e *Engine) advance() {
	least := int64(math.MaxInt64)
	for i := range e.partitions {
		p := &e.partitions[i]
		least = min(least, p.clock)
		if p.waits {
			least = min(least, p.held)
		}
	}
	if least == math.MinInt64 || least == math.MaxInt64 {
		return
	}
	if through := floorDiv(least-lateMicros, microsPerMinute) - 1; through > e.closed {
		e.closeThrough(through)
	}
}

// ResumeAt is where reading a partition goes on after a restart: the first offset whose event stands in a minute that is still open.
func (e *Engine) ResumeAt(number int32) int64 {
	i := e.place(number)
	if i < 0 {
		return 0
	}
	at := e.partitions[i].next
	for _, m := range e.open {
		if i < len(m.first) && m.first[i] >= 0 {
			at = min(at, m.first[i])
		}
	}
	return at
}
