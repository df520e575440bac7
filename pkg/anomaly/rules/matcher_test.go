package rules

import (
	"slices"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// A condition in which there is a mistake of ours could not be told, and keeps no other from being judged.
func TestPanicInACondition(t *testing.T) {
	set := mustParse(t, "rules:\n  - {id: a, title: T, severity: low, on: \"*\", event: 'true'}\n  - {id: b, title: T, severity: low, on: \"*\", event: 'true'}\n  - {id: c, title: T, severity: low, on: \"*\", event: 'true'}\n")
	set.conditions[1] = &condition{native: native{op: opNot}, decides: true} // of nothing
	m, ev := set.Matcher(), parseEvent(t, `"action":"x"`)
	for range 2 {
		if got := m.Match([]int{7}, ev, nil, scan.None); !slices.Equal(got, []int{7, 0, 2}) {
			t.Errorf("%v", got)
		}
	}
	for i, want := range []uint64{0, 2, 0} {
		if broken, cut := set.Troubles(i); broken != want || cut != 0 {
			t.Errorf("rule %d: %d could not be told, %d were cut off", i, broken, cut)
		}
	}
}
