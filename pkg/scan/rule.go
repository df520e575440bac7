package scan

import (
	"bufio"
	_ "embed" // the rules
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rulesText: a rule a line, "name weight A ~4 B|C ~~6 D": a word of concept A, at most 4 words on and in the same sentence one of B or C, then at most 6 words on, sentence
// or no, one of D. "^A": at the beginning of a sentence, "^^A": of a line. The finding is named injection.<name up to the dot>.
//
//go:embed rules.txt
var rulesText string

// maxSteps bounds a rule, maxRules their number.
const (
	maxSteps = 6
	maxRules = 192
)

// ruleSet is a set of rules by their number.
type ruleSet [maxRules / 64]uint64

// step is one place of a rule.
type step struct {
	any      mask
	gap      uint32 // words since the step before; unused in the first
	first    bool   // begins its sentence
	line     bool   // begins its line
	anywhere bool   // may lie in another sentence
}

// rule is a finite automaton over the concepts of a text. Since it bounds only how far the next word may be from the last one, the latest way to have reached a step is always
// the best one to go on from, so that a single state for each step suffices and the time is linear in the text.
type rule struct {
	name   string // as in the rules: check.detail
	check  int    // index into checks
	weight float32
	steps  []step
	needs  []mask // of the steps, the rarest first
}

// hit is a place where the lexicon knows a word or a phrase, or where a literal was found.
type hit struct {
	mask        mask
	start, end  uint32 // bytes of the normalised text
	word, last  uint32 // the first and last word
	sentence    uint32
	first, line bool
	mark        bool // no word
}

// match returns the place of the first match among the hits.
func (r *rule) match(hits []hit) (start, end uint32, ok bool) {
	type state struct {
		at    int32 // the hit that reached this step, -1 for none
		start uint32
	}
	var states [maxSteps]state
	for i := range r.steps {
		states[i].at = -1
	}
	final := len(r.steps) - 1
	for i := range hits {
		h := &hits[i]
		for k := final; k >= 0; k-- {
			st := &r.steps[k]
			if !h.mask.intersects(st.any) || st.first && !h.first || st.line && !h.line {
				continue
			}
			from := h.start
			if k > 0 {
				before := &states[k-1]
				if before.at < 0 {
					continue
				}
				p := &hits[before.at]
				if h.word < p.last || h.word-p.last > st.gap || h.word == p.last && !h.mark && !p.mark || h.sentence != p.sentence && !st.anywhere {
					continue
				}
				from = before.start
			}
			if k == final {
				return from, h.end, true
			}
			states[k] = state{at: int32(i), start: from}
		}
	}
	return 0, 0, false
}

// possible says whether a text with these concepts can match at all.
func (r *rule) possible(present mask) bool {
	for i := range r.needs {
		if !present.intersects(r.needs[i]) {
			return false
		}
	}
	return true
}

// ordinary is how people write. Rules ask first for what it has least of.
const ordinary = "Thank you for your message. I have read all of it and will answer the questions in the order in which you asked them. First, the new office: we move on the next Monday, and " +
	"everything that you need will be there. Please give me the list of the people who want a desk at the window. Second, can you tell me what the price of the software is? What do we have to pay, " +
	"and when? Our system must show it to the customer. I would like to use the text of last year and add the following: the service is free for users of the app. Let us know if that is right: I am " +
	"not sure. The team has no data about it. How do we send it, and to whom? You should write a short report, change the words that are not clear, and make sure that the answer is in the file. " +
	"The model of the house is at the entrance; the story behind it is a good one. Call me or write an e-mail, but not before ten. We act as a partner here, and they play a different role."

// orderNeeds sorts what each rule needs.
func (sc *Scanner) orderNeeds() {
	var counts [maxConcepts]int
	s := NewScratch()
	sc.read(s, []byte(ordinary))
	for _, h := range sc.gather(s) {
		h.mask.each(func(bit int) { counts[bit]++ })
	}
	commonness := func(m mask) (n int) {
		m.each(func(bit int) { n += counts[bit] })
		return n
	}
	for i := range sc.rules {
		r := &sc.rules[i]
		for _, st := range r.steps {
			r.needs = append(r.needs, st.any)
		}
		slices.SortStableFunc(r.needs, func(a, b mask) int { return commonness(a) - commonness(b) })
		r.needs[0].each(func(bit int) {
			sc.byConcept[bit][i>>6] |= 1 << (i & 63)
			sc.rarest = sc.rarest.with(bit)
		})
	}
}

func parseRules(text string, l *lexicon) ([]rule, error) {
	var rules []rule
	names := map[string]bool{}
	line := 0
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		line++
		body, _, _ := strings.Cut(scanner.Text(), "//")
		fields := strings.Fields(body)
		if len(fields) == 0 {
			continue
		}
		r, err := parseRule(fields, l)
		if err == nil && names[r.name] {
			err = fmt.Errorf("a second rule %s", r.name)
		}
		if err != nil {
			return nil, fmt.Errorf("rules line %d: %w", line, err)
		}
		names[r.name] = true
		rules = append(rules, r)
	}
	if len(rules) > maxRules {
		return nil, fmt.Errorf("%d rules; at most %d", len(rules), maxRules)
	}
	return rules, nil
}

func parseRule(fields []string, l *lexicon) (rule, error) {
	if len(fields) < 3 || len(fields)%2 == 0 {
		return rule{}, fmt.Errorf("want a name, a weight, and steps with gaps between them")
	}
	r := rule{name: fields[0], check: -1}
	category, _, _ := strings.Cut(r.name, ".")
	for i := range checks {
		if checks[i].rules == category {
			r.check = i
		}
	}
	weight, err := strconv.ParseFloat(fields[1], 32)
	if err != nil || r.check < 0 {
		return rule{}, fmt.Errorf("%s: unknown check, or weight %q is no number", r.name, fields[1])
	}
	r.weight = float32(weight)
	var st step
	for i, f := range fields[2:] {
		if i%2 == 1 {
			rest := strings.TrimLeft(f, "~")
			gap, err := strconv.ParseUint(rest, 10, 16)
			if err != nil || rest == f {
				return rule{}, fmt.Errorf("%s: %q is no gap", r.name, f)
			}
			st = step{gap: uint32(gap), anywhere: len(f)-len(rest) > 1}
			continue
		}
		name, first := strings.CutPrefix(f, "^")
		name, line := strings.CutPrefix(name, "^")
		st.first, st.line = first, line
		for _, c := range strings.Split(name, "|") {
			bit, ok := l.concepts[c]
			if !ok {
				return rule{}, fmt.Errorf("%s: unknown concept %s", r.name, c)
			}
			st.any = st.any.with(bit)
		}
		r.steps = append(r.steps, st)
		st = step{}
	}
	if len(r.steps) > maxSteps {
		return rule{}, fmt.Errorf("%s: more than %d steps", r.name, maxSteps)
	}
	return r, nil
}
