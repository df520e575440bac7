package scan

import "errors"

// literals finds many literals in one pass (Aho and Corasick, 1975), letters of ASCII without regard to case. It is a full table of transitions over classes of bytes: all bytes
// that stand in no literal are one class, so the table stays small enough for a processor's cache.
type literals struct {
	class   [256]uint8
	classes int
	next    []uint16 // state*classes + class
	out     []uint16 // index into ends plus one, 0 for none
	ends    [][]uint16
}

// errTooManyLiterals: states are numbered in 16 bits.
var errTooManyLiterals = errors.New("too many literals")

// maxLiteralStates keeps state numbers in 16 bits with room to spare.
const maxLiteralStates = 60000

func newLiterals(patterns []string, fold *[256]uint8) (*literals, error) {
	l := &literals{classes: 1}
	for _, p := range patterns {
		for i := range len(p) {
			if b := fold[p[i]]; l.class[b] == 0 {
				if l.classes == 256 {
					return nil, errTooManyLiterals
				}
				l.class[b] = uint8(l.classes)
				l.classes++
			}
		}
	}
	for i := range 256 {
		l.class[i] = l.class[fold[i]]
	}
	addState := func() int {
		l.next = append(l.next, make([]uint16, l.classes)...)
		l.out = append(l.out, 0)
		return len(l.out) - 1
	}
	addState()
	for n, p := range patterns {
		at := 0
		for i := range len(p) {
			slot := at*l.classes + int(l.class[p[i]])
			if l.next[slot] == 0 {
				if len(l.out) >= maxLiteralStates {
					return nil, errTooManyLiterals
				}
				l.next[slot] = uint16(addState())
			}
			at = int(l.next[slot])
		}
		l.emit(at, uint16(n))
	}
	l.link()
	return l, nil
}

func (l *literals) emit(state int, pattern uint16) {
	if l.out[state] == 0 {
		l.ends = append(l.ends, nil)
		l.out[state] = uint16(len(l.ends))
	}
	l.ends[l.out[state]-1] = append(l.ends[l.out[state]-1], pattern)
}

// link makes the transitions total, breadth first, and has each state say what ends in its longest proper suffix too.
func (l *literals) link() {
	fail := make([]int, len(l.out))
	var queue []int
	for c := range l.classes {
		if s := int(l.next[c]); s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		if o := l.out[fail[at]]; o != 0 {
			for _, p := range l.ends[o-1] {
				l.emit(at, p)
			}
		}
		for c := range l.classes {
			slot := at*l.classes + c
			if s := int(l.next[slot]); s != 0 {
				fail[s] = int(l.next[fail[at]*l.classes+c])
				queue = append(queue, s)
			} else {
				l.next[slot] = l.next[fail[at]*l.classes+c]
			}
		}
	}
}

// literalHit is a literal that ends at a byte of the normalised text (exclusive).
type literalHit struct {
	pattern uint16
	end     uint32
}

// maxLiteralHits bounds what one text can make later stages do; a text that holds more has long been noticed.
const maxLiteralHits = 4096

// find appends the literals of text[from:].
func (l *literals) find(hits []literalHit, text []byte, from int) []literalHit {
	state, classes, next, out := 0, l.classes, l.next, l.out
	for i := from; i < len(text); i++ {
		state = int(next[state*classes+int(l.class[text[i]])])
		if o := out[state]; o != 0 {
			for _, p := range l.ends[o-1] {
				hits = append(hits, literalHit{pattern: p, end: uint32(i + 1)})
			}
			if len(hits) >= maxLiteralHits {
				return hits
			}
		}
	}
	return hits
}
