package detector

import (
	"bytes"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// Bounds of what waits of one partition for the vault to say who somebody is. Beyond them the partition waits too: minutes stay open for what is held, and take memory.
const (
	maxHeld      = 10_000
	maxHeldBytes = 16 << 20
	maxHeldFor   = 15 * time.Minute // between the record that waits for longest and the one that is read
)

// held are records of newcomers, of whom the vault has to say who they are and does not answer. It belongs to one goroutine.
type held struct {
	records []kafkaio.Record
	bytes   int
	from    int64 // the least time of the records, in milliseconds
}

// room says whether a record can be kept.
func (h *held) room(rec *kafkaio.Record, now time.Time) bool {
	at := recorded(rec.TimeMillis, now) / 1000
	return len(h.records) < maxHeld && h.bytes+len(rec.Value) <= maxHeldBytes && (len(h.records) == 0 || at-h.from <= maxHeldFor.Milliseconds())
}

// add keeps a copy of a record.
func (h *held) add(rec *kafkaio.Record, now time.Time) {
	if at := recorded(rec.TimeMillis, now) / 1000; len(h.records) == 0 || at < h.from {
		h.from = at
	}
	h.bytes += len(rec.Value)
	h.records = append(h.records, kafkaio.Record{Offset: rec.Offset, TimeMillis: rec.TimeMillis, Value: bytes.Clone(rec.Value)})
}

// drop forgets the first n.
func (h *held) drop(n int, now time.Time) {
	rest := h.records[n:]
	*h = held{}
	for i := range rest {
		if at := recorded(rest[i].TimeMillis, now) / 1000; i == 0 || at < h.from {
			h.from = at
		}
		h.bytes += len(rest[i].Value)
	}
	h.records = append(h.records, rest...)
}
