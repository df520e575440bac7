package events

import (
	"bytes"
	"strconv"
)

// checkString checks a string of a known field and keeps what it computes in ev.
func (p *Parser) checkString(ev *Event, info *fieldInfo, s span) *Invalid {
	if s.len() == 0 && info.rules&nonEmpty != 0 {
		return p.fail(reasonEmpty)
	}
	text := s.unescape(p.record, &p.scratch)
	if info.limit != 0 && len(text) > info.limit {
		return p.fail(reasonTooLong(info.limit))
	}
	switch info.kind {
	case kindText:
		if s.hasEscapes() && bytes.IndexByte(text, 0) >= 0 {
			return p.fail(reasonNUL)
		}
	case kindSchema:
		if string(text) != Schema {
			return p.fail(reasonSchema)
		}
	case kindUUID:
		id, ok := ParseUUID(text)
		if !ok {
			return p.fail(reasonUUID)
		}
		if id == (UUID{}) {
			return p.fail(reasonNilUUID)
		}
		ev.id = id
	case kindTime:
		micros, fault := parseTime(text)
		if fault != "" {
			return p.fail(fault)
		}
		ev.timeMicros = micros
	case kindType:
		if !validType(text) {
			return p.fail(reasonType)
		}
		ev.reserved = reservedType(text)
	case kindOutcome:
		if ev.outcome = parseOutcome(text); ev.outcome == 0 {
			return p.fail(reasonOutcome)
		}
	default: // kindLine, kindTenant, kindSubjects
		if !p.plain(s) && hasControl(text) {
			return p.fail(controlFault(text))
		}
		if info.kind == kindTenant && bytes.IndexByte(text, '/') >= 0 {
			return p.fail(reasonSlash)
		}
	}
	return nil
}

// plain tells whether a string is seen to hold no control character without a look at it: it has
// no escapes (whose mark makes last larger than any offset) and lies before plainEnd.
func (p *Parser) plain(s span) bool { return s.last <= uint32(p.plainEnd) }

// attributeKeyFault returns why a key of attributes is refused, "" if it is not.
func (p *Parser) attributeKeyFault(key span) string {
	text := key.unescape(p.record, &p.scratch)
	switch {
	case len(text) == 0:
		return reasonKeyEmpty
	case len(text) > maxAttributeKeyBytes:
		return reasonKeyLong
	case !p.plain(key) && hasControl(text):
		return reasonKeyControl
	}
	return ""
}

// hasNUL tells whether a string holds U+0000, which can stand there as an escape only.
func (p *Parser) hasNUL(s span) bool {
	return s.hasEscapes() && bytes.IndexByte(s.unescape(p.record, &p.scratch), 0) >= 0
}

// checkNumber checks a number's range and keeps its value in ev.
func (p *Parser) checkNumber(ev *Event, f Field, s span) *Invalid {
	text := s.of(p.record)
	if text[0] == '-' {
		return p.fail(reasonNegative)
	}
	if len(text) > maxNumberBytes {
		return p.fail(reasonNumberLength)
	}
	if f == FieldCostUSD {
		usd, err := strconv.ParseFloat(string(text), 64)
		if err != nil || usd > maxCostUSD { // err: beyond float64
			return p.fail(reasonCostRange)
		}
		ev.costUSD = usd
		return nil
	}
	var n uint64
	for _, c := range text {
		if c -= '0'; c > 9 {
			return p.fail(reasonNotWhole)
		}
		if n = 10*n + uint64(c); n > maxCount {
			return p.fail(reasonCountRange)
		}
	}
	ev.counts[f-FieldInputTokens] = n
	return nil
}

// validType tells whether a type is labels of a-z, 0-9 and _ with single dots between them.
func validType(text []byte) bool {
	last := byte('.')
	for _, c := range text {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
		case c == '.' && last != '.':
		default:
			return false
		}
		last = c
	}
	return last != '.'
}

// reservedType tells whether a type's first label is a family of our own processes.
func reservedType[T string | []byte](text T) bool {
	end := 0
	for end < len(text) && text[end] != '.' {
		end++
	}
	switch string(text[:end]) {
	case "audit", "gdpr", "retention", "alert":
		return true
	}
	return false
}

// hasControl tells whether UTF-8 text holds a character of Unicode's category Cc: U+0000 to
// U+001F, U+007F to U+009F.
func hasControl(text []byte) bool {
	for i, c := range text {
		// U+0080 to U+009F are 0xC2 and the byte of the same number.
		if c < ' ' || c == 0x7f || c == 0xc2 && text[i+1] < 0xa0 {
			return true
		}
	}
	return false
}

// controlFault says which kind of control character text holds.
func controlFault(text []byte) string {
	if bytes.IndexByte(text, 0) >= 0 {
		return reasonNUL
	}
	return reasonControl
}
