package chain

import (
	"encoding/base64"
	"strconv"
)

// Rejected is the body of a rejected entry, apart from its sealed content.
type Rejected struct {
	Field  string // the field that was not acceptable; "" for the record as a whole
	Reason string // for people; quotes nothing of the record
	Bytes  int    // size of the record's value
}

// AppendRejected appends `"rejected":{…}`, the first part of the body of a rejected entry; `,"content":{…}` follows.
func AppendRejected(dst []byte, r *Rejected) []byte {
	dst = append(dst, `"rejected":{"field":`...)
	dst = appendText(dst, r.Field)
	dst = append(dst, `,"reason":`...)
	dst = appendText(dst, r.Reason)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, int64(r.Bytes), 10)
	return append(dst, '}')
}

// rejected reads what AppendRejected writes.
func (c *cursor) rejected(r *Rejected) error {
	if !c.literal(`"rejected":{"field":`) {
		return c.malformed("rejected")
	}
	var ok bool
	if r.Field, ok = c.text(); !ok || !c.literal(`,"reason":`) {
		return c.malformed("rejected.field")
	}
	if r.Reason, ok = c.text(); !ok || !c.literal(`,"bytes":`) {
		return c.malformed("rejected.reason")
	}
	bytes, ok := c.number()
	if !ok || !c.literal(`}`) {
		return c.malformed("rejected.bytes")
	}
	r.Bytes = int(bytes)
	return nil
}

const (
	// maxAuthorBytes bounds the name of an author of system records; it is a Kafka header and a key of the vault.
	maxAuthorBytes = 64
	signatureBytes = 64 // Ed25519
)

// ValidAuthor says whether name can be the name of an author of system records: 1 to 64 characters out of A-Z a-z 0-9 . _ -.
func ValidAuthor(name string) bool {
	return len(name) <= maxAuthorBytes && validName(name)
}

// AppendSystem appends the body of a system entry: the author's name (see ValidAuthor), the signature (64 bytes, Ed25519, see gdpr.SignSystem) and
// the signed record byte for byte. The record must be one JSON object with a member event_id.
func AppendSystem(dst []byte, author string, sig, record []byte) []byte {
	dst = append(dst, `"author":"`...)
	dst = append(dst, author...)
	dst = append(dst, `","sig":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, sig)
	dst = append(dst, `","event":`...)
	return append(dst, record...)
}

// system reads what AppendSystem writes up to the record, which is the rest.
func (c *cursor) system() (author, sig []byte, err error) {
	if !c.literal(`"author":"`) {
		return nil, nil, c.malformed("author")
	}
	author = c.name()
	if !ValidAuthor(string(author)) || !c.literal(`","sig":"`) {
		return nil, nil, c.malformed("author")
	}
	sig = c.take(base64.StdEncoding.EncodedLen(signatureBytes))
	if !canonicalSignature(sig) || !c.literal(`","event":`) {
		return nil, nil, c.malformed("sig")
	}
	return author, sig, nil
}

// canonicalSignature says whether sig is the one base64 form of 64 bytes. The strict decoder refuses set padding bits; line breaks, which it would
// skip, are excluded by the length of what comes out.
func canonicalSignature(sig []byte) bool {
	var raw [66]byte
	n, err := base64.StdEncoding.Strict().Decode(raw[:], sig)
	return err == nil && n == signatureBytes
}

// threats are the values of an event's "threat" member.
var threats = [...]string{"low", "medium", "high", "critical"}

// eventParts are the members of an event entry up to the id of the event; the rest is not looked at when a chain is followed.
type eventParts struct {
	hasSubject   bool
	subject      [16]byte
	dataSubjects []byte // `"uuid","uuid"`, each in lower case; nil if the member is absent
	eventID      [16]byte
	object       int // where in the body the event object begins
}

// event reads `"subject":"…","data_subjects":[…],"event":{"event_id":"…"`; subject and data_subjects may be absent.
func (c *cursor) event(p *eventParts) error {
	if p.hasSubject = c.literal(`"subject":"`); p.hasSubject {
		if !c.uuid(&p.subject) || !c.literal(`",`) {
			return c.malformed("subject")
		}
	}
	p.dataSubjects = nil
	if c.literal(`"data_subjects":[`) {
		start := c.at
		var id [16]byte
		for more := true; more; more = c.literal(`,`) {
			if !c.literal(`"`) || !c.uuid(&id) || !c.literal(`"`) {
				return c.malformed("data_subjects")
			}
		}
		p.dataSubjects = c.bytes[start:c.at]
		if !c.literal(`],`) {
			return c.malformed("data_subjects")
		}
	}
	if !c.literal(`"event":`) {
		return c.malformed("event")
	}
	p.object = c.at
	if !c.literal(`{"event_id":"`) || !c.uuid(&p.eventID) || !c.literal(`"`) {
		return c.malformed("event.event_id")
	}
	return nil
}

// parseEventID reads a UUID in either case: a system record stands in its entry as its author wrote it.
func parseEventID(id *[16]byte, b []byte) bool {
	if len(b) != uuidBytes {
		return false
	}
	var lower [uuidBytes]byte
	for i, c := range b {
		if 'A' <= c && c <= 'F' {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	return parseUUID(id, lower[:])
}
