package cli

import "testing"

func TestIsSignal(t *testing.T) {
	f := func(signal string, want bool) {
		t.Helper()
		if got := isSignal(signal); got != want {
			t.Errorf("%q: %v", signal, got)
		}
	}
	for _, signal := range []string{"rate.cost", "novel.*", "rule.budget.cost_day", "rule.budget.*", "finding.injection.code", "finding.custom.*", "silence.producer", "gap.*", "series.calls", "series.*"} {
		f(signal, true)
	}
	for _, signal := range []string{"", "*", "cost", "rate", "rate.", "rates.cost", "rate.*.cost", "rate.co*", "Rate.cost", "rate.cost "} {
		f(signal, false)
	}
}
