package scan

import (
	_ "embed" // the literals
	"fmt"
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
	s.noteLimits()
	return threat
}
