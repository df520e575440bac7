package scan

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
)

// literals finds many literals in one pass, letters of ASCII without regard to case. At each byte it looks up the hash of the next three in a small table of bits; only where that
// hits are the literals compared that begin so. Unlike in an automaton no step waits for the one before it, and the table fits the processor's first cache.
type literals struct {
	bits    [1 << (gramBits - 6)]uint64
	buckets [1 << bucketBits]bucket
	order   []uint16 // numbers of patterns, by bucket
	text    []string // folded
	fold    *[256]uint8
}

type bucket struct{ from, to uint16 }

const (
	gramBits   = 14
	bucketBits = 10
	// caseless makes letters of both cases equal, and some other bytes too: the comparison decides.
	caseless = 0x202020
	// minLiteral is the length of the shortest literal.
	minLiteral = 3
	// maxLiterals bounds the built-in and the custom literals together.
	maxLiterals = 4096
	// maxLiteralHits bounds what one text can make later stages do; a text that holds more has long been noticed.
	maxLiteralHits = 4096
)

var (
	errTooManyLiterals = errors.New("too many literals")
	errShortLiteral    = errors.New("a literal is shorter than three bytes")
)

func gramHash(gram uint32) uint32 { return (gram&0xffffff | caseless) * 0x9e3779b1 }

func newLiterals(patterns []string, fold *[256]uint8) (*literals, error) {
	if len(patterns) > maxLiterals {
		return nil, errTooManyLiterals
	}
	l := &literals{fold: fold}
	hashes := make([]uint32, len(patterns))
	for n, p := range patterns {
		if len(p) < minLiteral {
			return nil, errShortLiteral
		}
		folded := []byte(p)
		for i, b := range folded {
			folded[i] = fold[b]
		}
		l.text = append(l.text, string(folded))
		hashes[n] = gramHash(uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16)
		l.order = append(l.order, uint16(n))
		slot := hashes[n] >> (32 - gramBits)
		l.bits[slot>>6] |= 1 << (slot & 63)
	}
	slices.SortStableFunc(l.order, func(a, b uint16) int { return int(hashes[a]>>(32-bucketBits)) - int(hashes[b]>>(32-bucketBits)) })
	for i, n := range l.order {
		b := &l.buckets[hashes[n]>>(32-bucketBits)]
		if b.to == 0 {
			b.from = uint16(i)
		}
		b.to = uint16(i + 1)
	}
	return l, nil
}

// literalHit is a literal that ends at a byte of the normalised text (exclusive).
type literalHit struct {
	pattern uint16
	end     uint32
}

// find appends the literals of text[from:].
func (l *literals) find(hits []literalHit, text []byte, from int) []literalHit {
	i := from
	// Eight bytes are loaded at a time: six places where three bytes begin.
	for ; i+8 <= len(text); i += 6 {
		w := binary.LittleEndian.Uint64(text[i:])
		var set uint64
		for k := range 6 {
			slot := gramHash(uint32(w>>(8*k))) >> (32 - gramBits)
			set |= l.bits[slot>>6] >> (slot & 63) & 1 << k
		}
		for ; set != 0; set &= set - 1 {
			if hits = l.compare(hits, text, i+bits.TrailingZeros64(set)); len(hits) >= maxLiteralHits {
				return hits
			}
		}
	}
	for ; i+minLiteral <= len(text) && len(hits) < maxLiteralHits; i++ {
		hits = l.compare(hits, text, i)
	}
	return hits
}

// compare appends the literals that begin at a byte.
func (l *literals) compare(hits []literalHit, text []byte, at int) []literalHit {
	b := l.buckets[gramHash(uint32(text[at])|uint32(text[at+1])<<8|uint32(text[at+2])<<16)>>(32-bucketBits)]
next:
	for _, n := range l.order[b.from:b.to] {
		p := l.text[n]
		if at+len(p) > len(text) {
			continue
		}
		for i := range len(p) {
			if l.fold[text[at+i]] != p[i] {
				continue next
			}
		}
		hits = append(hits, literalHit{pattern: n, end: uint32(at + len(p))})
	}
	return hits
}
