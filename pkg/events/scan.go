package events

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Eight bytes are looked at together. In a word w, (w - ones*c) &^ w & highs marks the first byte
// below c (c <= 0x80), and ((w ^ ones*c) - ones) &^ w & highs the first byte equal to c (c < 0x80).
// What is marked after the first may be wrong: the subtraction borrows from it.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringHits marks the first byte of a word that does not simply continue a string: a quote, a
// backslash or a control character below U+0020.
func stringHits(w uint64) uint64 {
	return (((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | (w - ones*' ')) & highs &^ w
}

// plainPrefix returns the number of bytes before the first that is not ASCII or is DEL. A string
// within them that has no escapes can hold no control character.
func plainPrefix(b []byte) int {
	i := 0
	for ; i+32 <= len(b); i += 32 {
		block := b[i : i+32]
		w0, w1 := binary.LittleEndian.Uint64(block), binary.LittleEndian.Uint64(block[8:])
		w2, w3 := binary.LittleEndian.Uint64(block[16:]), binary.LittleEndian.Uint64(block[24:])
		// 0x7f + 1 sets the top bit; a carry needs 0xff, whose top bit is seen as well.
		seen := w0 | w1 | w2 | w3 | (w0 + ones) | (w1 + ones) | (w2 + ones) | (w3 + ones)
		if seen&highs != 0 {
			break
		}
	}
	for i < len(b) && b[i] < 0x7f {
		i++
	}
	return i
}

// firstInvalid returns the offset of the first byte from i on that is not UTF-8, len(b) if there
// is none.
func firstInvalid(b []byte, i int) int {
	if utf8.Valid(b[i:]) {
		return len(b)
	}
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
			if hit := stringHits(w); hit != 0 {
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
			if i+1 < len(b) && simpleEscapes[b[i+1]] {
				i += 2
				continue
			}
			p.pos = i + 1
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

// simpleEscapes are the characters that make an escape of two bytes.
var simpleEscapes = [256]bool{'"': true, '\\': true, '/': true, 'b': true, 'f': true, 'n': true, 'r': true, 't': true}

// escape skips an escape by number, or a pair of them that makes one character, behind the
// backslash.
func (p *Parser) escape() *Invalid {
	r, err := p.codeUnit()
	if err != nil || r < surrogateMin || r > surrogateMax {
		return err
	}
	if r >= surrogateLow || p.pos == len(p.record) || p.record[p.pos] != '\\' {
		return p.fail(reasonSurrogate)
	}
	p.pos++
	if low, err := p.codeUnit(); err != nil || low < surrogateLow || low > surrogateMax {
		return p.fail(reasonSurrogate)
	}
	return nil
}

// codeUnit parses a UTF-16 code unit, such as u00e9.
func (p *Parser) codeUnit() (rune, *Invalid) {
	if err := p.literal("u"); err != nil {
		return 0, err
	}
	digits := p.record[p.pos:]
	if r, ok := hex4(digits); ok {
		p.pos += 4
		return r, nil
	}
	for len(digits) > 0 && hexValues[digits[0]] < 16 {
		p.pos, digits = p.pos+1, digits[1:]
	}
	return 0, p.syntax()
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
