package rules

import (
	"os"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// rulesInDocs returns the section on rules.
func rulesInDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/detection.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## Rules\n")
	if !ok {
		t.Fatal("docs/detection.md has no section on rules")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	return section
}

// The example of the docs is a file that works, and does what it says.
func TestExampleInDocs(t *testing.T) {
	_, example, ok := strings.Cut(rulesInDocs(t), "```yaml\n")
	if !ok {
		t.Fatal("there is no example")
	}
	example, _, _ = strings.Cut(example, "```")
	set, err := Parse("docs/detection.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	m := set.Matcher()
	f := func(members, want string) {
		t.Helper()
		var ids []string
		for _, i := range m.Match(nil, parseEvent(t, members), nil, scan.Low) {
			ids = append(ids, set.Rule(i).ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
	f(`"tool":{"name":"payments.refund"},"rows":21`, "payments.large")
	f(`"tool":{"name":"payments.refund"},"rows":20`, "")
	f(`"type":"auth.login","time":"2026-11-20T03:00:00Z","source":{"ip":"203.0.113.9"}`, "login.odd") // 4 in Berlin
	f(`"type":"auth.login","time":"2026-11-20T05:00:00Z","source":{"ip":"203.0.113.9"}`, "")          // 6 in Berlin
	f(`"type":"auth.login","time":"2026-11-20T03:00:00Z","source":{"ip":"2001:db8:40::9"}`, "")
	f(`"type":"data.access","attributes":{"region":"us"},"resource":{"type":"eu_orders"}`, "region.left")
	f(`"type":"data.access","resource":{"type":"eu_orders"}`, "")
	f(`"type":"data.access","rows":60000`, "read.bulk")
	f(`"type":"data.access","rows":60000,"agent":{"id":"backup"}`, "")
	f(`"type":"data.access","rows":20000`, "")
}

// Each name that conditions may use stands in the docs, and so do the keys.
func TestNamesInDocs(t *testing.T) {
	section := rulesInDocs(t)
	check := func(name string) {
		t.Helper()
		if !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, name+"[") {
			t.Errorf("docs/detection.md does not have %s", name)
		}
	}
	for name := range variablesByName {
		check(name)
	}
	for name := range threats() {
		check(name)
	}
	for _, key := range ruleKeys() {
		check(key)
	}
	for f := range anomaly.NumWindowFeatures {
		if f >= anomaly.WindowNewTools && f != anomaly.WindowNewTools && f != anomaly.WindowKnownTools {
			continue // "and likewise"
		}
		check(f.String())
	}
}
