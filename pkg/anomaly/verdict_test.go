package anomaly

import (
	"slices"
	"strings"
	"testing"
)

// Of each kind of evidence the name is in a family that can be suppressed; families that nothing is in are no help.
func TestSignalFamilies(t *testing.T) {
	names := []string{"gap.sequence", "silence.producer", findingName("injection.code"), "rule.test"}
	for r := range rates {
		names = append(names, (&clue{group: groupRate, rate: rate(r)}).signal())
	}
	for v := range values {
		names = append(names, (&clue{group: groupValue, value: value(v)}).signal())
	}
	for n := range novelties {
		names = append(names, (&clue{group: groupNovel, what: novelty(n)}).signal())
	}
	for f := range follows {
		names = append(names, (&clue{group: groupSeries, followed: followed(f)}).signal())
	}
	names = append(names, (&clue{group: groupHour}).signal(), (&clue{group: groupOrder}).signal())
	used := map[string]bool{}
	for _, name := range names {
		family, _, _ := strings.Cut(name, ".")
		if used[family] = true; !slices.Contains(SignalFamilies(), family) {
			t.Errorf("%s is in no family", name)
		}
	}
	if len(used) != len(SignalFamilies()) {
		t.Errorf("families of %v", used)
	}
}
