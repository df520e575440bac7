package verify

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// rememberedRecords is how many system records of a log are compared with the next one, at least; twice as many at most. With a heartbeat a minute that is
	// a year, and it takes up to 80 MB a log. A record that is produced again behind more than that is not noticed.
	rememberedRecords = 1 << 19
	// maxNotes bounds the notes on a log: whoever can produce one record again can do so a million times.
	maxNotes = 100
)

// notes are those of one log.
type notes struct {
	list    []Note
	leftOut uint64 // beyond maxNotes
}

func (n *notes) add(seq uint64, format string, args ...any) {
	if len(n.list) == maxNotes {
		n.leftOut++
		return
	}
	n.list = append(n.list, Note{Seq: seq, Text: fmt.Sprintf(format, args...)})
}

// replays finds system records that stand in a log again. Whoever may write to the topic can produce a signed record once more, and its signature is good:
// a reader who acts on such records would act twice. But a producer that loses Kafka's answer sends its record again as well, and the two doubles look alike.
type replays struct {
	limit         int // of recent
	recent, older map[signatureID]place
}

// signatureID stands for a signature, and with it for a record: equal ones sign equal bytes, the event's id among them. The author's name is no part of it,
// since the signature does not cover the name.
type signatureID [16]byte

// place is where a record stands for the first time.
type place struct {
	seq          uint64
	sealedMicros int64
}

func newReplays(limit int) *replays {
	return &replays{limit: limit, recent: make(map[signatureID]place)}
}

// see returns where the system record e stands already.
func (r *replays) see(e *chain.Entry) (first place, again bool) {
	sum := sha256.Sum256(e.Signature)
	id := signatureID(sum[:])
	first, again = r.recent[id]
	if again {
		return first, true
	}
	if first, again = r.older[id]; !again {
		first = place{seq: e.Header.Seq, sealedMicros: e.Header.SealedMicros}
	}
	if len(r.recent) == r.limit {
		r.older, r.recent = r.recent, make(map[signatureID]place)
	}
	r.recent[id] = first
	return first, again
}

// until is the time from the sealing of the record there to that of e.
func (p place) until(e *chain.Entry) time.Duration {
	return time.Duration(e.Header.SealedMicros-p.sealedMicros) * time.Microsecond
}
