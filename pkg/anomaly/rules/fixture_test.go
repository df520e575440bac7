package rules

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// parseEvent makes an event of the given members, over those that each event has.
func parseEvent(t testing.TB, members string) *events.Event {
	t.Helper()
	record := map[string]json.RawMessage{}
	base := `{"schema":"agentaudit.event/v1","event_id":"0199f0c2-8d1e-7a44-9b7e-2f6d1c0a9e55","time":"2026-11-20T21:14:05.123Z",
		"type":"tool.call","action":"call","outcome":"success","tenant":"acme","user_id":"u-1001"}`
	for _, text := range []string{base, "{" + members + "}"} {
		var some map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &some); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		maps.Copy(record, some)
	}
	maps.DeleteFunc(record, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	ev := new(events.Event)
	if err := events.NewParser().Parse(text, ev); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return ev
}

func findingsOf(names ...string) []scan.Finding {
	var found []scan.Finding
	for _, name := range names {
		found = append(found, scan.Finding{Name: name})
	}
	return found
}

// mustParse parses rules without the built-in ones.
func mustParse(t testing.TB, text string) *Set {
	t.Helper()
	set, err := Parse("rules.yaml", []byte("version: 1\nbuiltin: false\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// eventRule is a file with one rule on events.
func eventRule(condition string) string {
	return "rules:\n  - {id: r, title: T, severity: low, on: \"*\", event: " + quote(condition) + "}\n"
}

func windowRule(condition string) string {
	return "rules:\n  - {id: r, title: T, severity: low, window: {of: subject, over: 1h, when: " + quote(condition) + "}}\n"
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// fakeView is a window with given values.
type fakeView struct {
	values         [anomaly.NumWindowFeatures]float64
	mean, std, n   [anomaly.NumWindowFeatures]float64
	tenant, entity string
}

var _ WindowView = (*fakeView)(nil)

func (v *fakeView) Tenant() string                        { return v.tenant }
func (v *fakeView) Entity() string                        { return v.entity }
func (v *fakeView) Value(f anomaly.WindowFeature) float64 { return v.values[f] }
func (v *fakeView) Baseline(f anomaly.WindowFeature) (mean, std, n float64) {
	return v.mean[f], v.std[f], v.n[f]
}

// view makes a window of values by their names in conditions.
func view(t testing.TB, values map[string]float64) *fakeView {
	t.Helper()
	v := &fakeView{tenant: "acme"}
	for name, x := range values {
		n, ok := windowNames[name]
		if !ok {
			t.Fatalf("no value is named %s", name)
		}
		switch n.part {
		case inWindow:
			v.values[n.feature] = x
		case baselineMean:
			v.mean[n.feature] = x
		case baselineStd:
			v.std[n.feature] = x
		case baselineN:
			v.n[n.feature] = x
		}
	}
	return v
}
