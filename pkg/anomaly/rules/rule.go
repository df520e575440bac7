package rules

import (
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Rule is one rule of a set.
type Rule struct {
	// ID names it for good; the signal of its incidents is rule.<id>.
	ID       string
	Title    string
	Severity anomaly.Severity
	// Expected says for people what is usual, such as "no log-in fails ten times an hour"; if the file does not, it is the condition, negated.
	Expected string

	// On are the types of events at which Event is looked at: names, names that end in ".*", or "*".
	On []string
	// Event is a condition on a single event; "" for a rule on windows.
	Event string
	// Window is a condition on what an entity does in a window; nil for a rule on events.
	Window *Window

	// SuppressFor is how long after it held for an entity the rule is not to be said again of that entity.
	SuppressFor time.Duration
	// Enabled rules are matched. Others only keep their number.
	Enabled bool
	// BuiltIn tells that no file has touched it.
	BuiltIn bool
}

// Window is the condition of a rule on windows.
type Window struct {
	Of   anomaly.EntityKind
	Over time.Duration // divides a day
	When string
}

// condition returns the text of the rule's condition.
func (r *Rule) condition() string {
	if r.Window != nil {
		return r.Window.When
	}
	return r.Event
}

// covers tells whether one of the patterns of `on` fits a type.
func covers(patterns []string, eventType string) bool {
	for _, p := range patterns {
		stem, open := strings.CutSuffix(p, "*")
		if p == eventType || open && strings.HasPrefix(eventType, stem) {
			return true
		}
	}
	return false
}
