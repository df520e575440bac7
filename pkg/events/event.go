package events

// Event is a parsed record: places in the record's bytes, and the few values that the parser had
// to compute anyway. It is valid until those bytes change or Parse is called with it again, and
// holds nothing after a Parse that failed. Reading it is safe from several goroutines.
type Event struct {
	record []byte
	seen   uint64 // members of the record, a bit for each Field
	has    uint64 // seen without empty optional strings
	spans  [NumFields]span

	counts     [FieldProducerSeq - FieldInputTokens + 1]uint64
	costUSD    float64
	timeMicros int64
	id         UUID
	outcome    Outcome
	reserved   bool

	subjects   []span
	attributes []span // key, value, key, value, …
	unknown    []unknownMember
}

// unknownMember is a member that the schema does not know, its name included.
type unknownMember struct {
	member span
	group  Field
}

// span is a place in the record. For strings it is the inside of the quotes, and the top bit of
// last tells that there are escapes.
type span struct{ first, last uint32 }

const escaped = 1 << 31

func (s span) end() uint32        { return s.last &^ escaped }
func (s span) len() int           { return int(s.end() - s.first) }
func (s span) hasEscapes() bool   { return s.last&escaped != 0 }
func (s span) of(b []byte) []byte { return b[s.first:s.end()] }

// unescape returns the string of s, in scratch if it has escapes.
func (s span) unescape(record []byte, scratch *[]byte) []byte {
	if s.hasEscapes() {
		*scratch = AppendUnescaped((*scratch)[:0], s.of(record))
		return *scratch
	}
	return s.of(record)
}

// value returns the string of s, appended to scratch[:0] if it has escapes.
func (s span) value(record, scratch []byte) []byte {
	if s.hasEscapes() {
		return AppendUnescaped(scratch[:0], s.of(record))
	}
	return s.of(record)
}

// keptMembers limits the memory kept after a record with very many members.
const keptMembers = 4096

// reset makes the event ready for a record.
func (e *Event) reset(record []byte) {
	e.record = record
	e.seen, e.has = 0, 0
	e.timeMicros, e.id, e.outcome, e.reserved = 0, UUID{}, 0, false
	if cap(e.unknown) > keptMembers {
		e.unknown = nil
	}
	e.subjects, e.attributes, e.unknown = e.subjects[:0], e.attributes[:0], e.unknown[:0]
}

// Record returns the bytes that were parsed.
func (e *Event) Record() []byte { return e.record }

// Has tells whether the record has the field. An empty optional string counts as absent.
func (e *Event) Has(f Field) bool { return e.has&(1<<f) != 0 }

// Raw returns the field as it stands in the record: of a string the inside of the quotes with its
// escapes, safe to copy between quotes; of anything else the JSON value. nil if it is absent.
func (e *Event) Raw(f Field) []byte {
	if !e.Has(f) {
		return nil
	}
	return e.spans[f].of(e.record)
}

// Value returns a string field's value. It aliases the record, or is appended to scratch[:0] if
// there are escapes. nil if the field is absent; for what is no string it returns Raw.
func (e *Event) Value(f Field, scratch []byte) []byte {
	if !e.Has(f) {
		return nil
	}
	return e.spans[f].value(e.record, scratch)
}

// Uint returns a whole number's value, 0 if it is absent or f is no such field.
func (e *Event) Uint(f Field) uint64 {
	if f < FieldInputTokens || f > FieldProducerSeq || !e.Has(f) {
		return 0
	}
	return e.counts[f-FieldInputTokens]
}

// CostUSD returns usage.cost_usd, 0 if it is absent.
func (e *Event) CostUSD() float64 {
	if !e.Has(FieldCostUSD) {
		return 0
	}
	return e.costUSD
}

// ID returns event_id.
func (e *Event) ID() [16]byte { return e.id }

// TimeMicros returns the time of the event in microseconds since 1970, finer digits cut off.
func (e *Event) TimeMicros() int64 { return e.timeMicros }

// Outcome returns the outcome.
func (e *Event) Outcome() Outcome { return e.outcome }

// Reserved tells whether the type belongs to a family that only our own processes may use:
// audit, gdpr, retention, alert.
func (e *Event) Reserved() bool { return e.reserved }

// NumDataSubjects returns the number of data_subjects, repeated ones counted each time.
func (e *Event) NumDataSubjects() int { return len(e.subjects) }

// DataSubject returns the value of data_subjects[i], as Value does.
func (e *Event) DataSubject(i int, scratch []byte) []byte {
	return e.subjects[i].value(e.record, scratch)
}

// NumAttributes returns the number of attributes.
func (e *Event) NumAttributes() int { return len(e.attributes) / 2 }

// RawAttribute returns key and value of an attribute, in the order of the record, as Raw does.
func (e *Event) RawAttribute(i int) (key, value []byte) {
	return e.attributes[2*i].of(e.record), e.attributes[2*i+1].of(e.record)
}

// NumUnknown returns the number of members that the schema does not know, at the top level and
// in objects that it knows.
func (e *Event) NumUnknown() int { return len(e.unknown) }

// Unknown returns the i-th such member: the name of the object that holds it ("" at the top
// level), and its bytes in the record, `"name":value` with white space as it was. Names differ
// within a group.
func (e *Event) Unknown(i int) (group string, member []byte) {
	u := e.unknown[i]
	return u.group.Name(), u.member.of(e.record)
}
