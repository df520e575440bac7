package scan

import (
	"bufio"
	_ "embed" // the lexicon
	"errors"
	"fmt"
	"math/bits"
	"slices"
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

const (
	// maxConcepts is what a mask holds.
	maxConcepts = 192
	// maxSets bounds the different sets of concepts that words belong to.
	maxSets = 256
	// phraseBits is the size of the filter that tells beginnings of phrases apart from words that merely follow each other.
	phraseBits = 15
)

// entry is what the lexicon knows of a word or phrase. The hash 0 is nobody's.
type entry struct {
	hash   uint64
	set    uint16 // index into lexicon.sets; 0: no concept
	goesOn bool   // longer phrases begin with it
	// keeps are the forms that the next word has if this one has them: behind words such as please a sentence is still at its beginning.
	keeps uint8
}

// lexicon is a hash table by the hash of words and phrases, read only once it is made. It stands in a text's way with each of its words, so it is small (entries hold the number of
// a set of concepts and no set), and finding takes the same few steps for a word that is there and for one that is not: a processor that has to guess goes wrong at every other word.
type lexicon struct {
	table    [1 << tableBits]entry
	moves    [1 << moveBits]uint16 // by the hash's first bits: what is added to its place so that each word has one of its own
	seed     uint64
	sets     []mask // the different sets of concepts; the first is empty
	phrases  [1 << (phraseBits - 6)]uint64
	concepts map[string]int
}

const (
	tableBits = 12
	moveBits  = 10
)

// place returns where a word stands if the lexicon has it.
func (l *lexicon) place(hash uint64) *entry {
	h := hash * l.seed
	return &l.table[(h>>16^uint64(l.moves[h>>(64-moveBits)]))&(1<<tableBits-1)]
}

// find returns what the lexicon knows about a word or phrase, nil if nothing.
func (l *lexicon) find(hash uint64) *entry {
	if e := l.place(hash); e.hash == hash && hash != 0 {
		return e
	}
	return nil
}

// mayBePhrase says whether there may be a phrase of this hash. Nearly always there is none, which a look into a small table of bits says.
func (l *lexicon) mayBePhrase(hash uint64) bool {
	slot := hash * phraseSeed >> (64 - phraseBits)
	return l.phrases[slot>>6]>>(slot&63)&1 != 0
}

const phraseSeed = 0x9e3779b97f4a7c15

var (
	errNoFiller = errors.New("the lexicon has no concept FILLER")
	errHash     = errors.New("the lexicon has a word whose hash is 0")
	errNoRoom   = errors.New("the lexicon has too many words")
)

// parseLexicon reads the lexicon. normal brings words into the form in which texts have them.
func parseLexicon(text string, normal func(string) string) (*lexicon, error) {
	l := &lexicon{concepts: map[string]int{}, sets: []mask{{}}}
	type known struct {
		mask   mask
		goesOn bool
	}
	index := map[uint64]*known{}
	var order []uint64
	add := func(hash uint64) *known {
		k := index[hash]
		if k == nil {
			k = &known{}
			index[hash] = k
			order = append(order, hash)
		}
		return k
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
			h := hashWord([]byte(words[0]))
			for _, w := range words[1:] {
				add(h).goesOn = true
				h = chain(h, hashWord([]byte(w)))
				slot := h * phraseSeed >> (64 - phraseBits)
				l.phrases[slot>>6] |= 1 << (slot & 63)
			}
			k := add(h)
			k.mask = k.mask.with(concept)
		}
	}
	filler, ok := l.concepts["FILLER"]
	if !ok {
		return nil, errNoFiller
	}
	numbers := map[mask]uint16{{}: 0}
	var entries []entry
	for _, hash := range order {
		if hash == 0 {
			return nil, errHash
		}
		k := index[hash]
		number, ok := numbers[k.mask]
		if !ok {
			number = uint16(len(l.sets))
			numbers[k.mask] = number
			l.sets = append(l.sets, k.mask)
		}
		e := entry{hash: hash, set: number, goesOn: k.goesOn}
		if k.mask.intersects(mask{}.with(filler)) {
			e.keeps = wordFirst | wordLine
		}
		entries = append(entries, e)
	}
	if len(l.sets) > maxSets {
		return nil, fmt.Errorf("the lexicon has more than %d different sets of concepts", maxSets)
	}
	// With a seed that works the rest is certain, and the first one mostly works.
	for l.seed = phraseSeed; l.seed < phraseSeed+2*maxSeeds; l.seed += 2 {
		if l.arrange(entries) {
			return l, nil
		}
	}
	return nil, errNoRoom
}

// maxSeeds bounds the search for a seed.
const maxSeeds = 100

// arrange gives each entry a place of its own: groups with the same first bits, the largest first, are moved together until none of them meets another ("hash and displace").
func (l *lexicon) arrange(entries []entry) bool {
	groups := make([][]entry, 1<<moveBits)
	for _, e := range entries {
		g := e.hash * l.seed >> (64 - moveBits)
		groups[g] = append(groups[g], e)
	}
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(groups[b]) - len(groups[a]) })
	l.table = [1 << tableBits]entry{}
	for _, g := range order {
		move := 0
		for ; move < 1<<tableBits; move++ {
			l.moves[g] = uint16(move)
			if l.free(groups[g]) {
				break
			}
		}
		if move == 1<<tableBits {
			return false
		}
		for _, e := range groups[g] {
			*l.place(e.hash) = e
		}
	}
	return true
}

// free says whether a group's places are.
func (l *lexicon) free(group []entry) bool {
	for i, e := range group {
		if l.place(e.hash).hash != 0 {
			return false
		}
		for _, other := range group[:i] {
			if l.place(other.hash) == l.place(e.hash) {
				return false
			}
		}
	}
	return true
}

func (l *lexicon) concept(name string) int {
	n, ok := l.concepts[name]
	if !ok {
		n = len(l.concepts)
		l.concepts[name] = n
	}
	return n
}
