package rules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// All that is wrong is said at once, in the order of the lines.
func TestMistakes(t *testing.T) {
	got := refused(t, `version: 1
timezone: Mars/Olympus
colour: blue
lists:
  Bad-Name: [a]
  good: [a, ""]
  odd: 7
rules:
  - id: one
    title: One
    severity: urgent
    on: Tool.Call
    event: rows > 1
    sevrity: low
  - title: No id
  - id: Two
  - id: three
    title: Three
    severity: low
    on: tool.call
    event: |
      rows > 1 &&
      rowz > 2
  - id: four
    title: Four
    severity: low
    window: {of: user, over: 10m, when: calls > 3 * baseline.calls.mean, since: 1h}
  - id: five
    title: Five
    severity: low
    on: tool.call
    event: rows
    window: {of: subject, over: 1h, when: calls > 3}
  - id: one
    title: Again
  - id: six
    severity: low
    event: rows > 1
  - id: seven
    title: Seven
    severity: low
    on: tool.call
    window: {of: subject, over: 1h, when: new_networks > 0}
    suppress_for: 1y
    enabled: maybe
`)
	want := `rules.yaml:2: timezone "Mars/Olympus" is not known; a name such as Europe/Berlin expected
rules.yaml:3: "colour" is not known; version, builtin, timezone, lists or rules expected
rules.yaml:5: a list is named "Bad-Name"; small letters, digits and _ are expected, at most 64
rules.yaml:6: list good: an entry is empty
rules.yaml:7: list odd: a list of texts, or file: NAME, expected
rules.yaml:11: rule one: severity "urgent": low, medium, high or critical expected
rules.yaml:12: rule one: on "Tool.Call": a type such as tool.call expected, one that ends in .*, or "*"
rules.yaml:14: rule one: "sevrity" is not known; id, title, severity, expected, on, event, window, suppress_for or enabled expected
rules.yaml:15: a rule without id
rules.yaml:16: id "Two": words of small letters, digits and _, joined by dots, expected
rules.yaml:23: rule three: event: column 1: undeclared reference to 'rowz' (did you mean 'rows'?)
rules.yaml:27: rule four: "since" is not known; of, over and when expected
rules.yaml:27: rule four: of "user": subject, agent or tenant expected
rules.yaml:27: rule four: over "10m": 1m, 1h or 24h expected
rules.yaml:27: rule four: when: column 11: found no matching overload for '_*_' applied to '(int, double)' (beside numbers with a fraction write 3.0, not 3)
rules.yaml:28: rule five: event or window expected, one of both
rules.yaml:34: rule one: the id stands on line 9 already
rules.yaml:36: rule six: on is missing: the types of events that can matter, or "*"
rules.yaml:36: rule six: title is missing
rules.yaml:42: rule seven: on belongs to conditions on events; a window counts all
rules.yaml:43: rule seven: new_networks is not counted over 1h0m0s: different things are over 1m and 24h, new and known ones over 1m
rules.yaml:44: rule seven: suppress_for "1y": 0s to 720h0m0s expected, such as 30m or 24h
rules.yaml:45: rule seven: enabled: true or false expected`
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for _, line := range wantLines {
		if !strings.Contains("\n"+got+"\n", "\n"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if len(gotLines) != len(wantLines) {
		t.Errorf("%d lines, want %d:\n%s", len(gotLines), len(wantLines), got)
	}
}

// A file lies over the built-in rules: a rule of a known id changes what it names, a list replaces its namesake.
func TestOverBuiltInRules(t *testing.T) {
	set, err := Parse("own.yaml", []byte(`version: 1
timezone: Europe/Berlin
lists:
  protected_tools: [payments.refund]
rules:
  - {id: tool.protected, severity: critical, suppress_for: 2h}
  - {id: budget.cost, window: {of: subject, over: 1h, when: cost_usd > 7}}
  - {id: read.bulk, enabled: false}
  - {id: errors.half, on: tool.call, event: outcome == "failure"}
  - {id: own.rule, title: Own, severity: low, on: "*", event: time.hour == 22}
`))
	if err != nil {
		t.Fatal(err)
	}
	rule := func(id string) Rule {
		i, ok := set.Find(id)
		if !ok {
			t.Fatalf("no rule %s", id)
		}
		return set.Rule(i)
	}
	if r := rule("tool.protected"); r.Severity != anomaly.Critical || r.SuppressFor != 2*time.Hour || r.Title != "Protected tool used without approval" || r.BuiltIn ||
		r.Expected != "an approval stands in the event" {
		t.Errorf("%+v", r)
	}
	if r := rule("budget.cost"); r.Window.When != "cost_usd > 7" || r.Expected != "not: cost_usd > 7" {
		t.Errorf("%+v", r)
	}
	if r := rule("read.bulk"); r.Enabled || r.SuppressFor != 24*time.Hour {
		t.Errorf("%+v", r)
	}
	if r := rule("errors.half"); r.Window != nil || r.Event == "" || len(r.On) != 1 {
		t.Errorf("%+v", r)
	}
	if r := rule("login.brute_force"); !r.BuiltIn || r.SuppressFor != time.Hour {
		t.Errorf("%+v", r)
	}
	m := set.Matcher()
	names := func(members string) (ids []string) {
		for _, i := range m.Match(nil, parseEvent(t, members), nil, scan.None) {
			ids = append(ids, set.Rule(i).ID)
		}
		return ids
	}
	// 21:14 in UTC is 22:14 in Berlin.
	if got := strings.Join(names(`"tool":{"name":"payments.refund"},"rows":99999`), " "); got != "tool.protected own.rule" {
		t.Error(got)
	}
	if got := strings.Join(names(`"tool":{"name":"iam.grant"},"outcome":"failure"`), " "); got != "errors.half own.rule" {
		t.Error(got)
	}

	alone := mustParse(t, eventRule("has_user"))
	if alone.Len() != 1 {
		t.Errorf("%d rules without the built-in ones", alone.Len())
	}
	// What a list of one's own does to a built-in rule is said too.
	if got := refused(t, "version: 1\nbuiltin: true\nlists: {protected_tools: 5}\n"); !strings.Contains(got, "protected_tools") {
		t.Error(got)
	}
}

// Lists have words, patterns, addresses and networks, in the file or in files of their own.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("nets.txt", "# networks\n\n10.0.0.0/8\r\n2001:db8::/32\n192.0.2.7\n")
	write("rules.yaml", "version: 1\nbuiltin: false\nlists: {nets: {file: nets.txt}, tools: [a, 'crm.*', '*.del', '*x*', 'q?']}\n"+
		"rules:\n  - {id: net, title: T, severity: low, on: '*', event: source.ip in lists.nets}\n"+
		"  - {id: tool, title: T, severity: low, on: '*', event: tool in lists.tools}\n"+
		"  - {id: within, title: T, severity: low, on: '*', event: source.ip.inNetwork('198.51.100.0/24')}\n")
	set, err := Load(filepath.Join(dir, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := set.Matcher()
	f := func(members, want string) {
		t.Helper()
		var ids []string
		for _, i := range m.Match(nil, parseEvent(t, members), nil, scan.None) {
			ids = append(ids, set.Rule(i).ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %q, want %q", members, got, want)
		}
	}
	f(`"source":{"ip":"10.200.3.4"}`, "net")
	f(`"source":{"ip":"::ffff:10.200.3.4"}`, "net")
	f(`"source":{"ip":"11.0.0.1"}`, "")
	f(`"source":{"ip":"2001:db8:1::5"}`, "net")
	f(`"source":{"ip":"192.0.2.7"}`, "net")
	f(`"source":{"ip":"192.0.2.8"}`, "")
	f(`"source":{"ip":"198.51.100.9"}`, "within")
	f(`"source":{"ip":"no address"}`, "")
	f(`"action":"none"`, "")
	f(`"tool":{"name":"a"}`, "tool")
	f(`"tool":{"name":"aa"}`, "")
	f(`"tool":{"name":"crm.read"}`, "tool")
	f(`"tool":{"name":"acrm.read"}`, "")
	f(`"tool":{"name":"b.del"}`, "tool")
	f(`"tool":{"name":"bxb"}`, "tool")
	f(`"tool":{"name":"qé"}`, "tool")
	f(`"tool":{"name":"q"}`, "")

	write("nets.txt", "10.0.0.0/8\n\n"+strings.Repeat("x", 300)+"\n")
	if _, err := Load(filepath.Join(dir, "rules.yaml")); err == nil || !strings.Contains(err.Error(), "nets.txt:3: list nets: an entry of 300 bytes") {
		t.Errorf("%v", err)
	}
}

// Types of events decide by themselves, before any condition is looked at.
func TestOn(t *testing.T) {
	f := func(pattern, eventType string, want bool) {
		t.Helper()
		if got := covers([]string{pattern}, eventType); got != want {
			t.Errorf("%s of %s: %v", pattern, eventType, got)
		}
	}
	f("tool.call", "tool.call", true)
	f("tool.call", "tool.call.x", false)
	f("data.*", "data.access", true)
	f("data.*", "data.access.x", true)
	f("data.*", "data", false)
	f("data.*", "database.x", false)
	f("*", "anything.at.all", true)
}

// Conditions that cannot be told count as not fulfilled, and are counted.
func TestTroubles(t *testing.T) {
	set := mustParse(t, eventRule(`attributes["region"].startsWith("eu")`))
	m := set.Matcher()
	for _, members := range []string{`"rows":1`, `"attributes":{"region":"us"}`, `"attributes":{"region":"eu-1"}`} {
		if got, want := len(m.Match(nil, parseEvent(t, members), nil, scan.None)), strings.Count(members, "eu-1"); got != want {
			t.Errorf("%s: %d", members, got)
		}
	}
	if broken, cut := set.Troubles(0); broken != 1 || cut != 0 {
		t.Errorf("%d times not to be told, %d cut off", broken, cut)
	}
	if broken, cut := set.AllTroubles(); broken != 1 || cut != 0 {
		t.Errorf("of all rules: %d times not to be told, %d cut off", broken, cut)
	}
}

// Producers may make up types without end, and most events concern no rule.
func TestMatchAllocatesNothing(t *testing.T) {
	set, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	m, all := set.Matcher(), mixedEvents(t)
	var matched []int
	if n := testing.AllocsPerRun(10, func() {
		for i := range all {
			matched = m.Match(matched[:0], all[i].event, all[i].findings, all[i].threat)
		}
	}); n > 0 {
		t.Errorf("%v allocations for %d events", n, len(all))
	}
	for i := range 3 * maxKnownTypes {
		m.Match(nil, parseEvent(t, `"type":"made.up_`+strings.Repeat("x", i%64+1)+strings.Repeat("y", i/64)+`"`), nil, scan.None)
	}
	if len(m.byType) > maxKnownTypes {
		t.Errorf("%d types are kept", len(m.byType))
	}
}
