package privacy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Rejected is a record of the topic of requests that is none.
type Rejected struct {
	Topic         string
	Partition     int
	Offset        int64
	At            time.Time // the record's, which tells it from one at the same place of a topic that was made anew
	Field, Reason string    // which quote nothing of it
}

// NoteRejected has the log say that a record was not accepted. The same record is said once, however often it is read.
func NoteRejected(ctx context.Context, v *vault.Vault, r Rejected) error {
	note := remark{Type: typeRequest, Action: "rejected", Outcome: events.Failure, Attributes: map[string]string{
		"state": "rejected", "topic": r.Topic, "partition": strconv.Itoa(r.Partition), "offset": strconv.FormatInt(r.Offset, 10), "reason": r.Reason,
	}}
	if r.Field != "" {
		note.Attributes["field"] = r.Field
	}
	place := append([]byte("agentaudit/rejected-request/v1\x00"), r.Topic...)
	for _, n := range []int64{int64(r.Partition), r.Offset, r.At.UnixMilli()} {
		place = binary.BigEndian.AppendUint64(place, uint64(n))
	}
	sum := sha256.Sum256(place)
	said, err := note.saying(stepID([16]byte(sum[:16]), "rejected"), time.Now())
	if err != nil {
		return err
	}
	return v.Note(ctx, said)
}
