package chain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// Head is the state of a log that its last entry makes. The zero Size is the empty log. Heads can be compared with ==.
type Head struct {
	Log       string
	Size      uint64 // number of entries; the last one has seq Size-1
	Leaf      Hash   // leaf hash of the last entry; zero for the empty log
	Epoch     uint32 // in which the last entry stands
	NextEpoch uint32 // in which the next entry must stand
	Next      int64  // the Kafka offset at which the next entry begins or later
	Closed    bool   // a close entry was the last: nothing may follow

	// Of the last entry, if it came from a Kafka record; else NoOffset and zeros. Enough to find the record again and see whether it is still the same.
	LastOffset     int64
	LastTimeMillis int64
	LastEventID    [16]byte // zero for a rejected record
}

// EmptyHead returns the head of a log that has no entry.
func EmptyHead(log string) Head { return Head{Log: log, LastOffset: NoOffset} }

// tokenLabel parts insert tokens from every other use of SHA-256 here.
const tokenLabel = "agentaudit/insert/v1\x00"

// Token returns the insert token of the entries that follow this head, as 64 hex digits: ClickHouse accepts one insert with it, so any head has one
// successor. attempt is 0, and one more each time that a token was proven burned.
func (h Head) Token(attempt uint32) string {
	text := make([]byte, 0, len(tokenLabel)+maxTopicBytes+64)
	text = append(text, tokenLabel...)
	text = append(text, h.Log...)
	text = append(text, 0)
	text = append(text, h.Leaf[:]...)
	text = binary.BigEndian.AppendUint32(text, attempt)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// HeadOf returns the head that entry makes as the last one of its log. It recomputes the leaf hash and checks what a single entry can show: its form,
// and for a control entry that it fits the log it stands in. Whether it fits the entries before is for a Verifier to say.
func HeadOf(entry []byte) (Head, error) {
	var h Header
	body, err := ParseHeader(entry, &h)
	if err != nil {
		return Head{}, err
	}
	var head Head
	if err := headAfter(&head, &h, body, LeafHash(entry)); err != nil {
		return Head{}, err
	}
	return head, nil
}

// headAfter makes head that of the entry made of h and body. On an error it is none.
func headAfter(head *Head, h *Header, body []byte, leaf Hash) error {
	*head = Head{
		Log: h.Log, Size: h.Seq + 1, Leaf: leaf, Epoch: h.Epoch, NextEpoch: h.Epoch, Next: h.Source.Next,
		LastOffset: h.Source.Offset, LastTimeMillis: h.Source.TimeMillis,
	}
	if (h.Epoch == 0) != (h.Seq == 0) {
		return errors.New("entry 0 stands in epoch 0, and no other does")
	}
	in := cursor{bytes: body}
	switch h.Kind {
	case KindEvent:
		var parts eventParts
		if err := in.event(&parts); err != nil {
			return err
		}
		head.LastEventID = parts.eventID
	case KindSystem:
		_, _, err := in.system()
		if err != nil {
			return err
		}
		if head.LastEventID, err = recordEventID(body[in.at:]); err != nil {
			return err
		}
	case KindRejected:
		if err := in.rejected(new(Rejected)); err != nil {
			return err
		}
	case KindControl:
		c, err := ParseControl(body)
		if err != nil {
			return err
		}
		if reason := c.contradicts(h); reason != "" {
			return errors.New(reason)
		}
		head.NextEpoch, head.Closed = c.NextEpoch, c.Op == OpClose
	}
	return nil
}

var errEventID = errors.New("event.event_id is missing or not a UUID")

// recordEventID finds the event id in a record whose members stand in any order.
func recordEventID(record []byte) (id [16]byte, err error) {
	found := false
	err = scanObject(record, func(key string, value []byte) {
		if key != "event_id" || value[0] != '"' {
			return
		}
		text, err := unquote(value)
		found = err == nil && parseEventID(&id, []byte(text))
	})
	if err == nil && !found {
		err = errEventID
	}
	return id, err
}
