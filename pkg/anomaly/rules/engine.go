package rules

import (
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// ForEngine hands rules to an anomaly.Engine. Like the engine it belongs to one goroutine.
type ForEngine struct {
	matcher *Matcher
	view    engineView
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
	e.view.of = view
	e.held = e.matcher.Window(e.held[:0], view.Of, view.Over, &e.view)
	for _, number := range e.held {
		fire(number, e.matcher.set.Observed(number, &e.view))
	}
	e.view.of = nil
}

// engineView shows a window of the engine to conditions.
type engineView struct{ of *anomaly.WindowView }

// engineFeatures has the engine's name for each feature.
var engineFeatures = [NumFeatures]anomaly.WindowFeature{
	Events: anomaly.WindowEvents, Calls: anomaly.WindowCalls, Errors: anomaly.WindowErrors, Denials: anomaly.WindowDenials, Logins: anomaly.WindowLogins,
	FailedLogins: anomaly.WindowFailedLogins, RateLimits: anomaly.WindowRateLimits, Writes: anomaly.WindowWrites, Sends: anomaly.WindowSends,
	Grants: anomaly.WindowGrants, Rows: anomaly.WindowRows, InputTokens: anomaly.WindowInputTokens, OutputTokens: anomaly.WindowOutputTokens,
	Tokens: anomaly.WindowTokens, CostUSD: anomaly.WindowCostUSD, Tools: anomaly.WindowTools, Networks: anomaly.WindowNetworks, Agents: anomaly.WindowAgents,
	NewTools: anomaly.WindowNewTools, NewNetworks: anomaly.WindowNewNetworks, NewAgents: anomaly.WindowNewAgents,
	KnownTools: anomaly.WindowKnownTools, KnownNetworks: anomaly.WindowKnownNetworks, KnownAgents: anomaly.WindowKnownAgents,
}

// Tenant is part of WindowView.
func (v *engineView) Tenant() string { return v.of.Tenant }

// Entity is part of WindowView.
func (v *engineView) Entity() string { return v.of.Entity }

// Value is part of WindowView.
func (v *engineView) Value(f Feature) float64 { return v.of.Value(engineFeatures[f]) }

// Baseline is part of WindowView.
func (v *engineView) Baseline(f Feature) (mean, std, n float64) {
	return v.of.Baseline(engineFeatures[f])
}
