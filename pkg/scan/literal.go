package scan

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// literals finds many literals in one pass, letters of ASCII without regard to case. Each literal is looked for by three bytes of it, those that ordinary text has least of. At each
// byte the hash of the next three is looked up in a small table; only where that hits are the literals compared that have them. Unlike in an automaton no step waits for the one
// before it, and the table fits the processor's first cache.
type literals struct {
	all   grams
	ascii grams // those that a text in ASCII can have
	text  []string
	fold  *[256]uint8
}

// grams finds literals by three bytes of each.
type grams struct {
	some    [1 << gramBits]uint8 // 1: literals have three bytes with this hash
	buckets [1 << bucketBits]bucket
	order   []uint16 // numbers of patterns, by bucket
	at      []uint16 // by number of pattern: where in it the three bytes are
}

type bucket struct{ from, to uint16 }

const (
	gramBits   = 14
	bucketBits = 10
	// caseless makes letters of both cases equal, and some other bytes too: the comparison decides.
	caseless = ones * 0x20
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

// gramHash is a hash of the lowest three bytes, which are caseless.
func gramHash(w uint64) uint32 { return uint32(w) << 8 * 0x9e3779b1 }

// frequent are the letters of English by how often they occur, the blank first.
const frequent = " etaoinshrdlucmfwypvbgkjqxz"

// rarest returns where in a literal the three bytes are that a text is least likely to have by chance.
func rarest(literal string) int {
	best, bestRarity := 0, -1
	for i := 0; i+minLiteral <= len(literal); i++ {
		rarity := 0
		for k := i; k < i+minLiteral; k++ {
			if n := strings.IndexByte(frequent, literal[k]); n >= 0 {
				rarity += n
			} else {
				rarity += len(frequent)
			}
		}
		if rarity > bestRarity {
			best, bestRarity = i, rarity
		}
	}
	return best
}

func newLiterals(patterns []string, fold *[256]uint8) (*literals, error) {
	if len(patterns) > maxLiterals {
		return nil, errTooManyLiterals
	}
	l := &literals{fold: fold}
	var all, plain []uint16
	for n, p := range patterns {
		if len(p) < minLiteral {
			return nil, errShortLiteral
		}
		folded := []byte(p)
		for i, b := range folded {
			folded[i] = fold[b]
		}
		l.text = append(l.text, string(folded))
		all = append(all, uint16(n))
		if ascii(folded) {
			plain = append(plain, uint16(n))
		}
	}
	l.all.arrange(all, l.text)
	l.ascii.arrange(plain, l.text)
	return l, nil
}

func (g *grams) arrange(numbers []uint16, text []string) {
	hashes := make([]uint32, len(text))
	g.at = make([]uint16, len(text))
	for _, n := range numbers {
		at := rarest(text[n])
		g.at[n] = uint16(at)
		hashes[n] = gramHash(load([]byte(text[n][at:at+minLiteral]), 0) | caseless)
		g.some[hashes[n]>>(32-gramBits)] = 1
	}
	g.order = slices.Clone(numbers)
	slices.SortStableFunc(g.order, func(a, b uint16) int { return cmp.Compare(hashes[a]>>(32-bucketBits), hashes[b]>>(32-bucketBits)) })
	for i, n := range g.order {
		b := &g.buckets[hashes[n]>>(32-bucketBits)]
		if b.to == 0 {
			b.from = uint16(i)
		}
		b.to = uint16(i + 1)
	}
}

// literalHit is a literal that ends at a byte of the normalised text (exclusive).
type literalHit struct {
	pattern uint16
	end     uint32
}

// find appends the literals of text[from:], in the order of their beginnings.
func (l *literals) find(hits []literalHit, text []byte, from int) []literalHit {
	first, g := len(hits), &l.all
	if ascii(text[from:]) {
		g = &l.ascii
	}
	some, i := &g.some, from
	// Eight bytes are loaded at a time: six places where three bytes begin.
	for ; i+8 <= len(text) && len(hits) < maxLiteralHits; i += 6 {
		w := binary.LittleEndian.Uint64(text[i:]) | caseless
		if some[gramHash(w)>>(32-gramBits)]|some[gramHash(w>>8)>>(32-gramBits)]|some[gramHash(w>>16)>>(32-gramBits)]|
			some[gramHash(w>>24)>>(32-gramBits)]|some[gramHash(w>>32)>>(32-gramBits)]|some[gramHash(w>>40)>>(32-gramBits)] == 0 {
			continue
		}
		for k := range 6 {
			if h := gramHash(w >> (8 * k)); some[h>>(32-gramBits)] != 0 {
				hits = l.compare(hits, g, h, text, from, i+k)
			}
		}
	}
	for ; i+minLiteral <= len(text) && len(hits) < maxLiteralHits; i++ {
		hits = l.compare(hits, g, gramHash(load(text[i:i+minLiteral], 0)|caseless), text, from, i)
	}
	if found := hits[first:]; len(found) > 1 {
		slices.SortFunc(found, func(a, b literalHit) int {
			if c := int(a.end) - len(l.text[a.pattern]) - int(b.end) + len(l.text[b.pattern]); c != 0 {
				return c
			}
			return int(a.pattern) - int(b.pattern)
		})
	}
	return hits
}

// compare appends the literals in text[from:] whose three bytes are those at a byte.
func (l *literals) compare(hits []literalHit, g *grams, hash uint32, text []byte, from, at int) []literalHit {
	b := g.buckets[hash>>(32-bucketBits)]
next:
	for _, n := range g.order[b.from:b.to] {
		p, start := l.text[n], at-int(g.at[n])
		if start < from || start+len(p) > len(text) {
			continue
		}
		for i := range len(p) {
			if l.fold[text[start+i]] != p[i] {
				continue next
			}
		}
		hits = append(hits, literalHit{pattern: n, end: uint32(start + len(p))})
	}
	return hits
}
