package scan

import (
	"math/bits"
	"slices"
	"sort"
)

// Most texts have no combination of concepts that a rule could match. So one pass notes which concepts there are, and where they are is gathered only when somebody asks.

// phraseHit is a phrase of the lexicon: its words, last included.
type phraseHit struct {
	set         uint16
	first, last uint32
}

// markHit is a character that rules know.
type markHit struct {
	at, word, sentence uint32
	char               byte
}

// mark notes a character that rules know.
func (s *Scratch) mark(char byte, at int, sentence uint32) {
	s.chars |= 1 << (char & 63)
	s.marked = append(s.marked, markHit{at: uint32(at), word: uint32(len(s.words)), sentence: sentence, char: char})
}

// markOf returns the concept of such a character, and how many bytes it has.
func (sc *Scanner) markOf(char byte) (m mask, n uint32) {
	switch char {
	case ':':
		return sc.marks.colon, 1
	case '`':
		return sc.marks.fence, 3
	case '#':
		return sc.marks.comment, 1
	}
	return sc.marks.question, 1
}

// conceptsOf adds up which concepts the text has.
func (sc *Scanner) conceptsOf(s *Scratch) {
	present := mask{}
	for i, set := range s.sets {
		for ; set != 0; set &= set - 1 {
			present = present.or(sc.lexicon.sets[i<<6+bits.TrailingZeros64(set)])
		}
	}
	if s.forms&wordOwner != 0 {
		present = present.or(sc.marks.owner)
	}
	if s.forms&wordName != 0 {
		present = present.or(sc.marks.name)
	}
	if s.chars != 0 {
		for _, char := range [...]byte{'?', ':', '`', '#'} {
			if s.chars&(1<<(char&63)) != 0 {
				m, _ := sc.markOf(char)
				present = present.or(m)
			}
		}
	}
	for _, l := range s.lits {
		if t := &sc.targets[l.pattern]; sc.stands(s, t, l) {
			present = present.or(t.mask)
		}
	}
	s.present = present
}

// stands says whether a literal that was found stands for its concept, if it has one, where it is.
func (sc *Scanner) stands(s *Scratch, t *target, l literalHit) bool {
	start := l.end - uint32(t.length)
	return t.mask != (mask{}) && !(t.atWord && start > 0 && sc.bytes.class[s.text[start-1]]&isWord != 0)
}

// gather lists where the concepts are, in the order of the text; at one place, words come before phrases and phrases before literals.
func (sc *Scanner) gather(s *Scratch) []hit {
	if s.gathered {
		return s.hits
	}
	s.gathered = true
	for i := range s.words {
		w := &s.words[i]
		if w.set == 0 && w.form&(wordOwner|wordName) == 0 {
			continue
		}
		if len(s.hits) == cap(s.hits) {
			s.hits = slices.Grow(s.hits, 1)
		}
		s.hits = s.hits[:len(s.hits)+1]
		h := &s.hits[len(s.hits)-1]
		h.mask, h.start, h.end, h.word, h.last, h.sentence = sc.lexicon.sets[w.set], w.start, w.end, uint32(i+1), uint32(i+1), w.sentence
		h.first, h.line, h.mark = w.form&wordFirst != 0, w.form&wordLine != 0, false
		if w.form&wordName != 0 {
			h.mask = sc.marks.name
		}
		if w.form&wordOwner != 0 {
			h.mask = h.mask.or(sc.marks.owner)
		}
	}
	sorted := len(s.hits)
	for _, p := range s.phrases {
		f := &s.words[p.first]
		s.hits = append(s.hits, hit{mask: sc.lexicon.sets[p.set], start: f.start, end: s.words[p.last].end, word: p.first + 1, last: p.last + 1, sentence: f.sentence,
			first: f.form&wordFirst != 0, line: f.form&wordLine != 0})
	}
	for _, c := range s.marked {
		m, n := sc.markOf(c.char)
		s.hits = append(s.hits, hit{mask: m, start: c.at, end: c.at + n, word: c.word, last: c.word, sentence: c.sentence, mark: true})
	}
	for _, l := range s.lits {
		t := &sc.targets[l.pattern]
		if !sc.stands(s, t, l) {
			continue
		}
		start := l.end - uint32(t.length)
		n := sort.Search(len(s.words), func(i int) bool { return s.words[i].end > start })
		h := hit{mask: t.mask, start: start, end: l.end, word: uint32(n + 1), last: uint32(n + 1), mark: true}
		if n < len(s.words) {
			h.sentence, h.first, h.line = s.words[n].sentence, s.words[n].form&wordFirst != 0, s.words[n].form&wordLine != 0
		}
		s.hits = append(s.hits, h)
	}
	if others := s.hits[sorted:]; len(others) > 0 {
		slices.SortStableFunc(others, func(a, b hit) int { return int(a.start) - int(b.start) })
		s.others = append(s.others[:0], others...)
		// From the end on, what is moved overwrites only what was moved before.
		to := len(s.hits)
		for n, k := sorted, len(s.others); k > 0; {
			to--
			if n > 0 && s.hits[n-1].start > s.others[k-1].start {
				n--
				s.hits[to] = s.hits[n]
			} else {
				k--
				s.hits[to] = s.others[k]
			}
		}
	}
	return s.hits
}
