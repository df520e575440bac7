package rules

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Set is the rules in effect. It is immutable but for its counters, and safe for concurrent use.
type Set struct {
	rules         []Rule
	conditions    []*condition // nil: the rule is gone, and only its number remains
	location      *time.Location
	listVariables map[string]*List
	windows       map[Span][]int
	spans         []Span
	counters      []counters
}

// counters are what became of a rule's conditions where they could not be told.
type counters struct{ broken, cut atomic.Uint64 }

// index prepares what follows from the rules.
func (s *Set) index() {
	s.windows, s.spans = map[Span][]int{}, nil
	s.counters = make([]counters, len(s.rules))
	for i := range s.rules {
		r := &s.rules[i]
		if !r.Enabled || r.Window == nil || s.conditions[i] == nil {
			continue
		}
		span := Span{r.Window.Of, r.Window.Over}
		if s.windows[span] == nil {
			s.spans = append(s.spans, span)
		}
		s.windows[span] = append(s.windows[span], i)
	}
}

// Len returns how many numbers are given. Rules have the numbers below it.
func (s *Set) Len() int { return len(s.rules) }

// Rule returns the rule of a number. Within a process a number stays a rule's own over reloads; other processes may have others, so what is kept for later
// names rules by their ids. The caller must not change what Rule points to.
func (s *Set) Rule(i int) Rule { return s.rules[i] }

// Find returns the number of a rule's id.
func (s *Set) Find(id string) (i int, ok bool) {
	i = slices.IndexFunc(s.rules, func(r Rule) bool { return r.ID == id })
	return i, i >= 0
}

// Spans returns the kinds of windows that enabled rules ask for.
func (s *Set) Spans() []Span { return slices.Clone(s.spans) }

// Troubles returns how often the condition of a rule could not be told (an attribute that it names was absent, say) and how often it was cut off because it
// cost too much, by all matchers of this set. In both cases it counts as not fulfilled.
func (s *Set) Troubles(i int) (broken, cut uint64) {
	return s.counters[i].broken.Load(), s.counters[i].cut.Load()
}

// AllTroubles is the sum of the Troubles of all rules.
func (s *Set) AllTroubles() (broken, cut uint64) {
	for i := range s.counters {
		b, c := s.Troubles(i)
		broken, cut = broken+b, cut+c
	}
	return broken, cut
}

// Observed says for people what a window has of what the rule's condition names: "failed_logins 12, events 40".
func (s *Set) Observed(i int, view WindowView) string {
	c := s.conditions[i]
	if c == nil {
		return ""
	}
	var text strings.Builder
	for _, f := range c.features {
		if text.Len() > 0 {
			text.WriteString(", ")
		}
		text.WriteString(f.String() + " " + amount(f, view.Value(f)))
		if mean, std, n := view.Baseline(f); f.HasBaseline() && n > 0 {
			fmt.Fprintf(&text, " (usually %s ± %s)", amount(f, mean), amount(f, std))
		}
	}
	return text.String()
}

func amount(f anomaly.WindowFeature, x float64) string {
	if f == anomaly.WindowCostUSD {
		return fmt.Sprintf("%.2f", x)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", x), ".0")
}

// after gives the rules the numbers that those of an earlier set have. Rules that are gone keep theirs, switched off.
func (s *Set) after(earlier *Set) error {
	byID := make(map[string]int, len(s.rules))
	for i := range s.rules {
		byID[s.rules[i].ID] = i
	}
	var rules []Rule
	var conditions []*condition
	for i := range earlier.rules {
		now, ok := byID[earlier.rules[i].ID]
		if !ok {
			gone := earlier.rules[i]
			gone.Enabled = false
			rules, conditions = append(rules, gone), append(conditions, nil)
			continue
		}
		rules, conditions = append(rules, s.rules[now]), append(conditions, s.conditions[now])
		delete(byID, earlier.rules[i].ID)
	}
	for i := range s.rules {
		if _, fresh := byID[s.rules[i].ID]; fresh {
			rules, conditions = append(rules, s.rules[i]), append(conditions, s.conditions[i])
		}
	}
	if len(rules) > maxNumbers {
		return fmt.Errorf("%d different rules since the start, at most %d expected: restart the process", len(rules), maxNumbers)
	}
	s.rules, s.conditions = rules, conditions
	s.index()
	return nil
}
