package cli

import "testing"

func TestSignalPattern(t *testing.T) {
	f := func(signal string, want bool) {
		t.Helper()
		if got := signalPattern.MatchString(signal); got != want {
			t.Errorf("%q: %v", signal, got)
		}
	}
	for _, signal := range []string{"rate.cost", "novel.*", "rule.budget.cost_day", "rule.budget.*", "finding.injection.code", "finding.custom.*", "silence.producer", "gap.*"} {
		f(signal, true)
	}
	for _, signal := range []string{"", "*", "cost", "rate", "rate.", "rates.cost", "rate.*.cost", "rate.co*", "Rate.cost", "rate.cost "} {
		f(signal, false)
	}
}
