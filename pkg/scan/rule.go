package scan

import (
	"bufio"
	_ "embed" // the rules
	"fmt"
	"strconv"
	"strings"
)

// rulesText: a rule a line, "name weight A ~4 B|C ~~6 D": a word of concept A, at most 4 words on and in the same sentence one of B or C, then at most 6 words on, sentence
// or no, one of D. "^A": at the beginning of a sentence, "^^A": of a line. The finding is named injection.<name up to the dot>.
//
//go:embed rules.txt
var rulesText string

// maxSteps bounds a rule.
const maxSteps = 6

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
	for i := range r.steps {
		if !present.intersects(r.steps[i].any) {
			return false
		}
	}
	return true
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
