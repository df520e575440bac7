package rules

import (
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// ForEngine hands rules to an anomaly.Engine. Like the engine it belongs to one goroutine.
type ForEngine struct {
	matcher *Matcher
	held    []int
}

var (
	_ anomaly.Rules   = (*ForEngine)(nil)
	_ anomaly.Resting = (*ForEngine)(nil)
)

// ForEngine returns the rules of this set for an engine.
func (s *Set) ForEngine() *ForEngine { return &ForEngine{matcher: s.Matcher()} }

// ForEngine returns the rules for an engine, which takes each new set as soon as it is in effect.
func (r *Reloader) ForEngine() *ForEngine { return &ForEngine{matcher: r.Matcher()} }

// Rule describes the rule of a number; false if it is gone or switched off.
func (e *ForEngine) Rule(number int) (anomaly.Rule, bool) {
	e.matcher.follow()
	if number < 0 || number >= e.matcher.set.Len() {
		return anomaly.Rule{}, false
	}
	r := &e.matcher.set.rules[number]
	return anomaly.Rule{ID: r.ID, Title: r.Title, Severity: r.Severity, Expected: r.Expected}, r.Enabled
}

// RestsFor returns suppress_for of a rule.
func (e *ForEngine) RestsFor(id string) time.Duration {
	e.matcher.follow()
	i, ok := e.matcher.set.Find(id)
	if !ok {
		return 0
	}
	return e.matcher.set.rules[i].SuppressFor
}

// Windows calls fire with each rule that holds for a window.
func (e *ForEngine) Windows(view *anomaly.WindowView, fire func(number int, observed string)) {
	e.held = e.matcher.Window(e.held[:0], view.Of, view.Over, view)
	for _, number := range e.held {
		fire(number, e.matcher.set.Observed(number, view))
	}
}
