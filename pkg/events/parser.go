package events

import (
	"bytes"
	"math/bits"
)

// Parser parses records. It keeps its memory from one to the next, so in the steady state it does
// not allocate. It is not safe for concurrent use; give each goroutine its own.
type Parser struct {
	record   []byte
	pos      int
	at       Field // what is being parsed, for the error
	plainEnd int   // offset of the first byte that is not ASCII or is DEL
	invalid  int   // offset of the first byte that is not UTF-8, len(record) if there is none
	names    nameSet
	scratch  []byte // unescaped values that are checked
}

// NewParser returns a Parser.
func NewParser() *Parser { return new(Parser) }

// Parse parses a record's value into ev, which is overwritten. The error is an *Invalid: the
// first fault in the order of the bytes, or the first required field that is missing. ev refers
// to the record's bytes.
func (p *Parser) Parse(record []byte, ev *Event) error {
	// A nil *Invalid must not become an error that is not nil.
	if err := p.parse(record, ev); err != nil {
		ev.reset(nil)
		return err
	}
	return nil
}

func (p *Parser) parse(record []byte, ev *Event) *Invalid {
	ev.reset(record)
	p.record, p.pos, p.at = record, 0, FieldRecord
	if len(record) > MaxRecordBytes {
		return p.fail(reasonTooLarge)
	}
	p.plainEnd = plainPrefix(record)
	p.invalid = firstInvalid(record, p.plainEnd)
	p.names.reset(record)
	if cap(p.scratch) > keptScratchBytes {
		p.scratch = nil
	}

	switch p.next() {
	case '{':
	case 0:
		if p.pos == len(record) {
			return p.fail(reasonEmpty)
		}
		fallthrough
	default:
		if bytes.HasPrefix(record, []byte("\uFEFF")) {
			return p.fail(reasonBOM)
		}
		return p.fail(reasonNotObject)
	}
	if err := p.object(ev, FieldRecord, 1); err != nil {
		return err
	}
	p.at = FieldRecord
	if p.space(); p.pos != len(record) {
		return p.fail(reasonTrailing)
	}
	if missing := requiredFields &^ ev.seen; missing != 0 {
		p.at = Field(bits.TrailingZeros64(missing))
		return p.fail(reasonMissing)
	}
	if len(record) > MaxPublicBytes && ev.publicBytes() > MaxPublicBytes {
		return p.fail(reasonPublicSize)
	}
	return nil
}

// keptScratchBytes limits the memory kept after a record with a very long escaped value.
const keptScratchBytes = 64 << 10

// object parses an object of known fields at its brace. Members that group does not know are
// kept as they are.
func (p *Parser) object(ev *Event, group Field, depth int) *Invalid {
	p.pos++
	if p.next() == '}' {
		p.pos++
		return nil
	}
	scope := p.names.begin()
	for {
		p.at = group
		if p.next() != '"' {
			return p.syntax()
		}
		start := p.pos
		var err *Invalid
		f := p.knownName(group)
		if f == FieldRecord {
			if f, err = p.anyName(group, &scope); err != nil {
				return err
			}
		}
		if p.next() != ':' {
			return p.syntax()
		}
		p.pos++
		if f != FieldRecord {
			p.at = f
			if ev.seen&(1<<f) != 0 {
				return p.fail(reasonTwice)
			}
			ev.seen |= 1 << f
			err = p.value(ev, f, depth)
		} else {
			err = p.any(depth)
			ev.unknown = append(ev.unknown, unknownMember{span{uint32(start), uint32(p.pos)}, group})
		}
		if err != nil {
			return err
		}
		more, err := p.more('}')
		if err != nil {
			return err
		}
		if !more {
			p.names.end(&scope)
			return nil
		}
	}
}

// anyName parses a member's name at its quote, which may be a known one that is written with
// escapes. Other names are noted in scope, and the field is FieldRecord.
func (p *Parser) anyName(group Field, scope *nameScope) (Field, *Invalid) {
	name, err := p.str()
	if err != nil {
		return FieldRecord, err
	}
	if packed, ok := packName(name.unescape(p.record, &p.scratch)); ok {
		if f := knownNames.lookup(group, packed); f != FieldRecord {
			return f, nil
		}
	}
	if !p.names.add(scope, name) {
		return FieldRecord, p.fail(reasonTwoMembers)
	}
	return FieldRecord, nil
}

// fail says what is wrong with the field at hand.
func (p *Parser) fail(reason string) *Invalid {
	return &Invalid{Field: p.at.String(), Reason: reason}
}

// syntax says that the bytes at pos are not what JSON has there.
func (p *Parser) syntax() *Invalid {
	reason := reasonNotJSON
	if p.pos >= len(p.record) {
		reason = reasonTruncated
	}
	return &Invalid{Field: FieldRecord.String(), Reason: reason}
}
