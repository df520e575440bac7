package scan

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// plainReader reads a text byte by byte, with maps and without tables, notes every concept at once, and knows nothing of what makes Scanner fast. What both read must be the same.
type plainReader struct {
	sc     *Scanner
	known  map[uint64]plainEntry
	filler mask

	text    []byte
	words   []plainWord
	hits    []hit
	lits    []literalHit
	present mask
	active  []phrase
	numbers []uint32
	long    []uint32
	ats     []uint32
	spaced  bool
}

type plainEntry struct {
	mask   mask
	goesOn bool
}

type plainWord struct {
	hash                 uint64
	start, end, sentence uint32
	class                uint8
	first, line          bool
}

func newPlainReader(sc *Scanner) *plainReader {
	r := &plainReader{sc: sc, known: map[uint64]plainEntry{}}
	r.filler = r.filler.with(sc.lexicon.concepts["FILLER"])
	concept := 0
	for line := range strings.Lines(lexiconText) {
		line, _, _ = strings.Cut(line, "//")
		for _, field := range strings.Fields(line) {
			if name, ok := strings.CutPrefix(field, "@"); ok {
				concept = sc.lexicon.concepts[name]
				continue
			}
			h := uint64(0)
			for i, w := range strings.Split(normalWord(field), "_") {
				if i > 0 {
					e := r.known[h]
					e.goesOn = true
					r.known[h] = e
					h = chain(h, fnv(w))
				} else {
					h = fnv(w)
				}
			}
			e := r.known[h]
			e.mask = e.mask.with(concept)
			r.known[h] = e
		}
	}
	return r
}

func fnv(w string) uint64 {
	h := uint64(fnvOffset)
	for i := range len(w) {
		h = (h ^ uint64(w[i])) * fnvPrime
	}
	return h
}

func (r *plainReader) find(hash uint64) *plainEntry {
	if e, ok := r.known[hash]; ok {
		return &e
	}
	return nil
}

// literals finds those of text[from:].
func (r *plainReader) literals(from int) {
	folded := make([]byte, len(r.text))
	for i, b := range r.text {
		folded[i] = r.sc.bytes.fold[b]
	}
	for i := from; i < len(folded); i++ {
		for n, p := range r.sc.literals.text {
			if bytes.HasPrefix(folded[i:], []byte(p)) {
				r.lits = append(r.lits, literalHit{pattern: uint16(n), end: uint32(i + len(p))})
			}
		}
	}
}

// placed puts the literals among the hits.
func (r *plainReader) placed() {
	for _, l := range r.lits {
		t := &r.sc.targets[l.pattern]
		start := l.end - uint32(t.length)
		if t.mask == (mask{}) || t.atWord && start > 0 && r.sc.bytes.class[r.text[start-1]]&isWord != 0 {
			continue
		}
		r.present = r.present.or(t.mask)
		n := 0
		for n < len(r.words) && r.words[n].end <= start {
			n++
		}
		h := hit{mask: t.mask, start: start, end: l.end, word: uint32(n + 1), last: uint32(n + 1), mark: true}
		if n < len(r.words) {
			h.sentence, h.first, h.line = r.words[n].sentence, r.words[n].first, r.words[n].line
		}
		r.hits = append(r.hits, h)
	}
	slices.SortStableFunc(r.hits, func(a, b hit) int { return int(a.start) - int(b.start) })
}

func (r *plainReader) mark(b byte, at int, sentence uint32) {
	m, n := r.sc.markOf(b)
	r.present = r.present.or(m)
	number := uint32(len(r.words))
	r.hits = append(r.hits, hit{mask: m, start: uint32(at), end: uint32(at) + n, word: number, last: number, sentence: sentence, mark: true})
}

func (r *plainReader) hit(m mask, first int) {
	w, f := &r.words[len(r.words)-1], &r.words[first]
	r.present = r.present.or(m)
	r.hits = append(r.hits, hit{mask: m, start: f.start, end: w.end, word: uint32(first + 1), last: uint32(len(r.words)), sentence: f.sentence, first: f.first, line: f.line})
}

func (r *plainReader) phrases(hash uint64) {
	keep := r.active[:0]
	for _, p := range r.active {
		h := chain(p.hash, hash)
		e := r.find(h)
		if e == nil {
			continue
		}
		if e.mask != (mask{}) {
			r.hit(e.mask, int(p.first))
		}
		if e.goesOn {
			keep = append(keep, phrase{hash: h, first: p.first})
		}
	}
	r.active = keep
}

func (r *plainReader) tokenise(from int) {
	text, class, fold := r.text, &r.sc.bytes.class, &r.sc.bytes.fold
	sentence := uint32(0)
	if n := len(r.words); n > 0 {
		sentence = r.words[n-1].sentence + 1
	}
	first, lone, lineStart := true, 0, true
	for i := from; i < len(text); {
		c := class[text[i]]
		if c&isWord == 0 {
			switch b := text[i]; {
			case b == ' ':
			case c&isEnd != 0:
				// A dot inside a number or a name (1.5, example.com) ends nothing.
				before := sentence
				if i+1 >= len(text) || class[text[i+1]]&isWord == 0 {
					if !first {
						sentence++
					}
					first = true
				}
				if b == '?' || b == ':' {
					r.mark(b, i, before)
				}
			case c&isBreak != 0:
				if lineStart && !first {
					sentence++ // an empty line
				}
				first, lineStart = true, true
			case b == '@':
				r.ats = append(r.ats, uint32(i))
			case b == '`':
				if i+2 < len(text) && text[i+1] == '`' && text[i+2] == '`' {
					r.mark(b, i, sentence)
					i += 2
				}
			case b == '#' && lineStart, b == '/' && i+1 < len(text) && (text[i+1] == '/' && (i == 0 || text[i-1] != ':') || text[i+1] == '*'):
				r.mark('#', i, sentence)
				first = true
			}
			i++
			continue
		}
		start, h, all := i, uint64(fnvOffset), uint8(0)
		for i < len(text) {
			b := text[i]
			k := class[b]
			if k&isWord == 0 {
				break
			}
			all |= k
			h = (h ^ uint64(fold[b])) * fnvPrime
			i++
		}
		possessive := false
		if i+1 < len(text) && text[i] == '\'' && all&isDigit == 0 && class[text[i+1]]&isLetter != 0 {
			i, h, possessive = r.apostrophe(text, start, i, h)
		}
		if all&isDigit != 0 {
			if all&isLetter != 0 && i-start <= maxLeetBytes {
				h = r.leet(text[start:i], h)
			}
			r.numbers = append(r.numbers, uint32(len(r.words)))
		}
		if i < len(text) && (text[i] == '@' || text[i] == '$') && all&isLetter != 0 {
			i, h = r.leetAcross(text, start, i, h)
		}
		n := i - start
		if n == 1 && all&isLetter != 0 {
			lone++
			if lone == loneLetters {
				r.spaced = true
			}
		} else {
			lone = 0
			if n >= longWord {
				r.long = append(r.long, uint32(len(r.words)))
			}
		}
		r.words = append(r.words, plainWord{hash: h, start: uint32(start), end: uint32(i), sentence: sentence, class: all, first: first, line: lineStart})
		filler := r.look(h, possessive)
		if !filler {
			first, lineStart = false, false
		}
	}
}

func (r *plainReader) apostrophe(text []byte, _, at int, base uint64) (end int, hash uint64, possessive bool) {
	h := (base ^ '\'') * fnvPrime
	i := at + 1
	for i < len(text) && r.sc.bytes.class[text[i]]&isLetter != 0 {
		h = (h ^ uint64(r.sc.bytes.fold[text[i]])) * fnvPrime
		i++
	}
	if i == at+2 && r.sc.bytes.fold[text[at+1]] == 's' {
		if e := r.find(h); e != nil && e.mask != (mask{}) {
			return i, h, false // what's and the like have entries of their own
		}
		return i, base, true
	}
	return i, h, false
}

func (r *plainReader) leet(w []byte, otherwise uint64) uint64 {
	h := uint64(fnvOffset)
	for _, b := range w {
		h = (h ^ uint64(leetLetter(r.sc.bytes.fold[b]))) * fnvPrime
	}
	if e := r.find(h); e != nil && len(w) >= 4 {
		return h
	}
	return otherwise
}

func (r *plainReader) leetAcross(text []byte, start, at int, otherwise uint64) (end int, hash uint64) {
	i := at
	for i < len(text) && i-start <= maxLeetBytes && (r.sc.bytes.class[text[i]]&isWord != 0 || text[i] == '@' || text[i] == '$') {
		i++
	}
	if i-start >= 4 && i-start <= maxLeetBytes {
		if h := r.leet(text[start:i], 0); h != 0 {
			return i, h
		}
	}
	return at, otherwise
}

func (r *plainReader) look(hash uint64, possessive bool) (filler bool) {
	if len(r.active) > 0 {
		r.phrases(hash)
	}
	e, m := r.find(hash), mask{}
	n := len(r.words) - 1
	if e != nil {
		m = e.mask
		if e.goesOn && len(r.active) < maxPhrases {
			r.active = append(r.active, phrase{hash: hash, first: uint32(n)})
		}
	} else if w := &r.words[n]; !w.first && w.class&(isUpper|isDigit) == isUpper && w.end-w.start > 1 && r.sc.bytes.class[r.text[w.start]]&isUpper != 0 && r.sc.bytes.class[r.text[w.start+1]]&isUpper == 0 {
		m = r.sc.marks.name
	}
	if possessive {
		m = m.or(r.sc.marks.owner)
	}
	if m != (mask{}) {
		r.hit(m, n)
	}
	return m.intersects(r.filler)
}

// TestReadsAsPlainly compares what Scanner reads of texts with what plainReader does, in two parts, as a text and what was decoded from it.
func TestReadsAsPlainly(t *testing.T) {
	sc, s := newScanner(t, Options{Patterns: []Pattern{{Name: "x", Literal: "the", Threat: Low}, {Name: "y", Literal: "Blüebird", Threat: Low}}}), NewScratch()
	r := newPlainReader(sc)
	same := func(t interface{ Fatalf(string, ...any) }, text []byte, cut int) {
		s.reset(text)
		if !ascii(text) {
			s.normalise(text)
		}
		whole := s.text
		cut = min(cut, len(whole))
		*r = plainReader{sc: sc, known: r.known, filler: r.filler}
		for _, part := range [][2]int{{0, cut}, {cut, len(whole)}} {
			s.text, s.active = whole[:part[1]], s.active[:0]
			sc.tokenise(s, part[0])
			s.lits = sc.literals.find(s.lits, s.text, part[0])
			r.text, r.active = whole[:part[1]], r.active[:0]
			r.tokenise(part[0])
			r.literals(part[0])
		}
		sc.conceptsOf(s)
		r.placed()
		if len(r.words) != len(s.words) {
			t.Fatalf("%q: %d words, want %d", text, len(s.words), len(r.words))
		}
		for i, want := range r.words {
			w := &s.words[i]
			got := plainWord{sc.modelHash(s.text, w), w.start, w.end, w.sentence, w.class, w.form&wordFirst != 0, w.form&wordLine != 0}
			if got != want {
				t.Fatalf("%q: word %d is %+v, want %+v", text, i, got, want)
			}
			if i > 0 && (w.hash == s.words[i-1].hash) != (want.hash == r.words[i-1].hash) {
				t.Fatalf("%q: words %d and %d are equal for one only", text, i-1, i)
			}
		}
		if s.present != r.present {
			t.Fatalf("%q: concepts %x, want %x", text, s.present, r.present)
		}
		if got := sc.gather(s); !slices.Equal(got, r.hits) {
			t.Fatalf("%q: hits\n%+v, want\n%+v", text, got, r.hits)
		}
		if !slices.Equal(s.lits, r.lits) {
			t.Fatalf("%q: literals %v, want %v", text, s.lits, r.lits)
		}
		if !slices.Equal(s.numbers, r.numbers) || !slices.Equal(s.long, r.long) || !slices.Equal(s.ats, r.ats) || s.spaced != r.spaced {
			t.Fatalf("%q: numbers %v, long words %v, at signs %v, want %v, %v, %v", text, s.numbers, s.long, s.ats, r.numbers, r.long, r.ats)
		}
	}
	for _, text := range []string{benign500, jsonText, ordinary, "", "é's", "user's what's '", strings.Repeat("a ", 9), "1gn0re p@ssw0rd a$1'b", "eightlet eightletters eight8et"} {
		same(t, []byte(text), len(text)/2)
	}
	piece := rapid.OneOf(
		rapid.SampledFrom(strings.Fields(strings.ReplaceAll(lexiconText, "_", " "))), rapid.SampledFrom(strings.Fields(ordinary)), rapid.StringN(0, 9, 18),
		rapid.SampledFrom([]string{"\n", "\n\n", ". ", ": ", "//", "#", "/*", "a", "é", "密", "@", "$", "```", "'s ", "'", "-", "1", "the", "blüebird"}),
		rapid.StringMatching(`[A-Za-z0-9@$']{1,20}`), rapid.SampledFrom(sc.literals.text),
	)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(t, "pieces"), rapid.SampledFrom([]string{"", " ", " "}).Draw(t, "between"))
		same(t, []byte(text), rapid.IntRange(0, len(text)).Draw(t, "cut"))
	})
}
