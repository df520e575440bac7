package scan

import (
	_ "embed" // the literals
	"fmt"
	"slices"
	"sort"
	"strings"
)

// literalsText: "@CONCEPT" begins a concept, each line that follows is a literal that stands for it: stems, words of scripts without blanks, code. A line that begins with "<"
// is such a literal too.
//
//go:embed literals.txt
var literalsText string

// target is what a literal is for: a concept, a detector, or a custom pattern.
type target struct {
	length   int
	mask     mask
	detector *detector
	custom   int // index into Scanner.custom plus one
	atWord   bool
}

func (sc *Scanner) compileLiterals() error {
	index := map[string]int{}
	var patterns []string
	add := func(literal string, t target) {
		// One literal for several purposes is as many patterns: the automaton reports all.
		patterns = append(patterns, literal)
		t.length = len(literal)
		sc.targets = append(sc.targets, t)
	}
	concept := -1
	for n, line := range strings.Split(literalsText, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		if name, ok := strings.CutPrefix(line, "@"); ok {
			bit, known := sc.lexicon.concepts[name]
			if !known {
				return fmt.Errorf("literals line %d: unknown concept %s", n+1, name)
			}
			concept = bit
			continue
		}
		// A literal that begins with ^ begins a word.
		body, atWord := strings.CutPrefix(line, "^")
		literal := normalWord(body)
		key := literal + fmt.Sprint(atWord)
		if at, ok := index[key]; ok {
			sc.targets[at].mask = sc.targets[at].mask.with(concept)
			continue
		}
		index[key] = len(patterns)
		add(literal, target{mask: mask{}.with(concept), atWord: atWord})
	}
	for i := range detectors {
		for _, l := range detectors[i].literals {
			add(l, target{detector: &detectors[i]})
		}
	}
	for i, p := range sc.custom {
		add(p.literal, target{custom: i + 1})
	}
	var err error
	if sc.literals, err = newLiterals(patterns, &sc.bytes.fold); err != nil {
		return fmt.Errorf("literals: %w", err)
	}
	return nil
}

// literalConcepts makes hits of the literals that stand for concepts, in their place among the others.
func (sc *Scanner) literalConcepts(s *Scratch) {
	before := len(s.hits)
	for _, l := range s.lits {
		t := &sc.targets[l.pattern]
		if t.mask == (mask{}) {
			continue
		}
		start := l.end - uint32(t.length)
		if t.atWord && start > 0 && sc.bytes.class[s.text[start-1]]&isWord != 0 {
			continue
		}
		s.present = s.present.or(t.mask)
		n := sort.Search(len(s.words), func(i int) bool { return s.words[i].end > start })
		h := hit{mask: t.mask, start: start, end: l.end, word: uint32(n + 1), last: uint32(n + 1), mark: true}
		if n < len(s.words) {
			h.sentence, h.first, h.line = s.words[n].sentence, s.words[n].first, s.words[n].line
			h.last = uint32(n + 1)
		}
		s.hits = append(s.hits, h)
	}
	if len(s.hits) > before || s.unsorted {
		slices.SortStableFunc(s.hits, func(a, b hit) int { return int(a.start) - int(b.start) })
	}
}

// patterns runs the detectors whose literals are there, looks at numbers and at signs for personal data, and runs the custom patterns.
func (sc *Scanner) patterns(s *Scratch, text []byte, from Source) Threat {
	threat := Low
	for _, l := range s.lits {
		t := &sc.targets[l.pattern]
		switch {
		case t.detector != nil:
			if start, end, ok := t.detector.find(s.text, int(l.end)-t.length, int(l.end)); ok {
				s.add(t.detector.name, span{start: uint32(start), end: uint32(end)})
				threat = max(threat, t.detector.threat[min(int(from), 2)])
			}
		case t.custom > 0:
			threat = max(threat, sc.custom[t.custom-1].find(s, text, l, t.length))
		}
	}
	sc.personal(s)
	return threat
}
