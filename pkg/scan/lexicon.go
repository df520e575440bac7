package scan

import (
	"bufio"
	_ "embed" // the lexicon
	"fmt"
	"math/bits"
	"strings"
)

// lexiconText: "@CONCEPT" begins a concept, the words and phrases (joined by _) that follow belong to it.
//
//go:embed lexicon.txt
var lexiconText string

// mask is a set of concepts.
type mask [3]uint64

func (m mask) with(bit int) mask {
	m[bit>>6] |= 1 << (bit & 63)
	return m
}
func (m mask) or(o mask) mask         { return mask{m[0] | o[0], m[1] | o[1], m[2] | o[2]} }
func (m mask) intersects(o mask) bool { return m[0]&o[0]|m[1]&o[1]|m[2]&o[2] != 0 }
func (m mask) each(visit func(bit int)) {
	for half, w := range m {
		for ; w != 0; w &= w - 1 {
			visit(half<<6 + bits.TrailingZeros64(w))
		}
	}
}

// maxConcepts is what a mask holds.
const maxConcepts = 192

// entry is what the lexicon knows of a word or phrase. goesOn says that longer phrases begin with it.
type entry struct {
	hash   uint64
	mask   mask
	goesOn bool
}

// lexicon is a hash table by the hash of words and phrases, read only once it is made.
type lexicon struct {
	slots    []int32 // index into entries plus one, by hash
	shift    uint
	entries  []entry
	concepts map[string]int
}

func (l *lexicon) find(hash uint64) *entry {
	at := hash * 0x9e3779b97f4a7c15 >> l.shift
	for {
		n := l.slots[at]
		if n == 0 {
			return nil
		}
		if e := &l.entries[n-1]; e.hash == hash {
			return e
		}
		at++
		if at == uint64(len(l.slots)) {
			at = 0
		}
	}
}

func hashWord(w string) uint64 {
	h := uint64(fnvOffset)
	for i := range len(w) {
		h = (h ^ uint64(w[i])) * fnvPrime
	}
	return h
}

// parseLexicon reads the lexicon. normal brings words into the form in which texts have them.
func parseLexicon(text string, normal func(string) string) (*lexicon, error) {
	l := &lexicon{concepts: map[string]int{}}
	index := map[uint64]int{}
	add := func(hash uint64) *entry {
		at, ok := index[hash]
		if !ok {
			at = len(l.entries)
			index[hash] = at
			l.entries = append(l.entries, entry{hash: hash})
		}
		return &l.entries[at]
	}
	concept, line := -1, 0
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		line++
		body, _, _ := strings.Cut(scanner.Text(), "//")
		for _, field := range strings.Fields(body) {
			if name, ok := strings.CutPrefix(field, "@"); ok {
				concept = l.concept(name)
				if concept >= maxConcepts {
					return nil, fmt.Errorf("lexicon line %d: more than %d concepts", line, maxConcepts)
				}
				continue
			}
			if concept < 0 {
				return nil, fmt.Errorf("lexicon line %d: a word before the first concept", line)
			}
			words := strings.Split(normal(field), "_")
			h := hashWord(words[0])
			for _, w := range words[1:] {
				add(h).goesOn = true
				h = chain(h, hashWord(w))
			}
			e := add(h)
			e.mask = e.mask.with(concept)
		}
	}
	size := 1 << bits.Len(uint(4*len(l.entries)))
	l.slots, l.shift = make([]int32, size), uint(64-bits.TrailingZeros(uint(size)))
	for i, e := range l.entries {
		at := e.hash * 0x9e3779b97f4a7c15 >> l.shift
		for l.slots[at] != 0 {
			at = (at + 1) % uint64(size)
		}
		l.slots[at] = int32(i + 1)
	}
	return l, nil
}

func (l *lexicon) concept(name string) int {
	n, ok := l.concepts[name]
	if !ok {
		n = len(l.concepts)
		l.concepts[name] = n
	}
	return n
}
