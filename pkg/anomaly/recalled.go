package anomaly

import (
	"math"

	"github.com/google/uuid"
)

// recalled is a provisional incident that was said before a restart and has not been found again.
type recalled struct {
	Incident
	end int64 // the last minute that it was found in, or that was closed when it was recalled
}

// maxRecalled bounds what is remembered of provisional incidents from before a restart.
const maxRecalled = 10_000

// Recall tells the engine, after its state was restored, of an incident that was said provisionally before. Open minutes are not part of the state: they are read
// again, and what is found in them then may differ, for events come in another order. If the incident is not found again by the time its minutes are closed, it is
// withdrawn; otherwise it would stand as provisional for ever.
func (e *Engine) Recall(in *Incident) {
	f := &e.found
	if in.Status != Provisional || len(f.recalled) >= maxRecalled {
		return
	}
	last := min(max(in.Last.UnixMicro(), -maxMicros), maxMicros)
	f.recalled[in.ID] = recalled{*in, max(floorDiv(last-1, microsPerMinute), e.closed)}
	f.ends = noMinute
}

// settleRecalled decides about recalled incidents whose minutes are closed.
func (f *incidents) settleRecalled(number int64) {
	if len(f.recalled) == 0 {
		return
	}
	standing := make(map[uuid.UUID]*ongoing, len(f.open))
	for _, in := range f.open {
		standing[in.ID] = in
	}
	for id := range f.recalled {
		in := f.recalled[id]
		if in.end >= number {
			continue
		}
		delete(f.recalled, id)
		if open := standing[id]; open != nil {
			// It had grown graver in minutes that were open, which they do not show any more: it is said as it is at its end, at the latest.
			open.unsaid = true
			f.changed[id] = open
			continue
		}
		in.Status = Withdrawn
		f.out = append(f.out, in.Incident)
	}
}

// nextRecalled is the first minute at which a recalled incident is decided about.
func (f *incidents) nextRecalled() int64 {
	next := int64(math.MaxInt64)
	for id := range f.recalled {
		next = min(next, f.recalled[id].end+1)
	}
	return next
}

func (f *incidents) forgetRecalled(subject uuid.UUID) {
	for id := range f.recalled {
		if f.recalled[id].Subject == subject {
			delete(f.recalled, id)
		}
	}
}
