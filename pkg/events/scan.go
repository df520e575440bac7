package events

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight bytes are looked at together. In a word w, (w - ones*c) &^ w & highs marks the first byte
// below c (c <= 0x80), and the same of w ^ ones*c with c = 1 the first byte equal to c; what it
// marks after the first may be wrong.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainASCII tells whether all bytes are ASCII and none is DEL, so that a string without escapes
// can hold no control character.
func plainASCII(b []byte) bool {
	var seen uint64
	for ; len(b) >= 32; b = b[32:] {
		w0, w1 := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
		w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
		// 0x7f + 1 sets the top bit; a carry needs 0xff, whose top bit is seen as well.
		seen |= w0 | w0 + ones | w1 | w1 + ones | w2 | w2 + ones | w3 | w3 + ones
		if seen&highs != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x7f {
			return false
		}
	}
	return true
}

// firstInvalid returns the offset of the first byte that is not UTF-8, len(b) if there is none.
func firstInvalid(b []byte) int {
	if utf8.Valid(b) {
		return len(b)
	}
	i := 0
	for {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
}

// space skips white space.
func (p *Parser) space() {
	for p.pos < len(p.record) {
		switch p.record[p.pos] {
		case ' ', '\t', '\n', '\r':
			p.pos++
		default:
			return
		}
	}
}

// next skips white space and returns the byte that follows, 0 at the end.
func (p *Parser) next() byte {
	if p.pos < len(p.record) {
		if c := p.record[p.pos]; c > ' ' {
			return c
		}
		p.space()
		if p.pos < len(p.record) {
			return p.record[p.pos]
		}
	}
	return 0
}

// str parses a string at its opening quote. It checks escapes and surrogates.
func (p *Parser) str() (span, *Invalid) {
	b, i := p.record, p.pos+1
	s := span{first: uint32(i)}
	for {
		for {
			if i+8 > len(b) {
				for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
					i++
				}
				if i == len(b) {
					p.pos = i
					return s, p.syntax()
				}
				break
			}
			w := binary.LittleEndian.Uint64(b[i:])
			quote, backslash := w^ones*'"', w^ones*'\\'
			if hit := ((quote-ones)&^quote | (backslash-ones)&^backslash | (w-ones*' ')&^w) & highs; hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		switch b[i] {
		case '"':
			p.pos = i + 1
			s.last |= uint32(i)
			if i > p.invalid {
				return s, p.fail(reasonUTF8)
			}
			return s, nil
		case '\\':
			s.last = escaped
			p.pos = i
			if err := p.escape(); err != nil {
				return s, err
			}
			i = p.pos
		case 0:
			return s, p.fail(reasonNUL)
		default:
			return s, p.fail(reasonRawControl)
		}
	}
}

// escape skips an escape, or a pair of them that makes one character.
func (p *Parser) escape() *Invalid {
	b := p.record[p.pos:]
	if len(b) < 2 {
		p.pos = len(p.record)
		return p.syntax()
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		p.pos += 2
		return nil
	case 'u':
	default:
		return p.syntax()
	}
	r, ok := hex4(b[2:])
	if !ok {
		return p.syntax()
	}
	p.pos += 6
	if r < surrogateMin || r > surrogateMax {
		return nil
	}
	if r >= surrogateLow || len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return p.fail(reasonSurrogate)
	}
	low, ok := hex4(b[8:])
	if !ok || low < surrogateLow || low > surrogateMax {
		return p.fail(reasonSurrogate)
	}
	p.pos += 6
	return nil
}

// number parses a number by the grammar of RFC 8259.
func (p *Parser) number() (span, *Invalid) {
	b, i := p.record, p.pos
	s := span{first: uint32(i)}
	if b[i] == '-' {
		i++
	}
	whole := i
	i = digits(b, i)
	ok := i > whole && (b[whole] != '0' || i == whole+1)
	if ok && i < len(b) && b[i] == '.' {
		fraction := i + 1
		i = digits(b, fraction)
		ok = i > fraction
	}
	if ok && i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		exponent := i
		i = digits(b, exponent)
		ok = i > exponent
	}
	p.pos = i
	if !ok {
		return s, p.syntax()
	}
	s.last = uint32(i)
	return s, nil
}

// digits returns the end of the decimal digits from i on.
func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// literal skips a word such as null.
func (p *Parser) literal(word string) *Invalid {
	for i := range len(word) {
		if p.pos == len(p.record) || p.record[p.pos] != word[i] {
			return p.syntax()
		}
		p.pos++
	}
	return nil
}
