package rules

import (
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/scan"
)

// eventExample is an event that a built-in rule is about, or is not.
type eventExample struct {
	members  string
	findings []scan.Finding
	threat   scan.Threat
}

// Of each built-in rule on events: one that it is for, and others that look like it.
var eventExamples = map[string]struct {
	holds eventExample
	fails []eventExample
}{
	"login.outside": {
		eventExample{members: `"type":"auth.login","source":{"ip":"203.0.113.7"}`},
		[]eventExample{{members: `"type":"auth.login","source":{"ip":"10.9.8.7"}`}, {members: `"type":"auth.login"`},
			{members: `"type":"auth.login","source":{"ip":"203.0.113.7"},"outcome":"failure"`}},
	},
	"permission.refused": {
		eventExample{members: `"type":"permission.change","approval":{"decision":"rejected"}`},
		[]eventExample{{members: `"type":"permission.change","approval":{"decision":"approved"}`},
			{members: `"type":"permission.change","approval":{"decision":"rejected"},"outcome":"denied"`}, {members: `"type":"permission.change"`}},
	},
	"permission.unapproved": {
		eventExample{members: `"type":"permission.change"`},
		[]eventExample{{members: `"type":"permission.change","approval":{"decision":"approved"}`}, {members: `"type":"permission.change","outcome":"denied"`}},
	},
	"approval.bypassed": {
		eventExample{members: `"approval":{"decision":"pending","risk":"high"}`},
		[]eventExample{{members: `"approval":{"decision":"approved","risk":"high"}`}, {members: `"approval":{"decision":"rejected"},"outcome":"blocked"`}},
	},
	"approval.by_self": {
		eventExample{members: `"type":"approval.decision","approval":{"decision":"approved","risk":"high","approver":"u-1001"}`},
		[]eventExample{{members: `"type":"approval.decision","approval":{"decision":"approved","risk":"high","approver":"u-2"}`},
			{members: `"type":"approval.decision","approval":{"decision":"approved","risk":"low","approver":"u-1001"}`},
			{members: `"type":"approval.decision","approval":{"decision":"rejected","risk":"high","approver":"u-1001"}`}},
	},
	"tool.protected": {
		eventExample{members: `"tool":{"name":"iam.add_role"}`},
		[]eventExample{{members: `"tool":{"name":"iam.add_role"},"approval":{"decision":"approved"}`}, {members: `"tool":{"name":"miami.weather"}`},
			{members: `"tool":{"name":"iam.add_role"},"outcome":"denied"`}},
	},
	"resource.protected": {
		eventExample{members: `"type":"data.access","resource":{"type":"hr.payroll_run"}`},
		[]eventExample{{members: `"type":"data.access","resource":{"type":"hr.payroll_run"},"approval":{"decision":"approved"}`},
			{members: `"type":"data.access","resource":{"type":"customer"}`}},
	},
	"audit.settings": {
		eventExample{members: `"type":"config.change","attributes":{"setting":"audit.enabled"}`},
		[]eventExample{{members: `"type":"config.change","attributes":{"setting":"max_steps"}`}, {members: `"type":"config.change"`},
			{members: `"type":"config.change","resource":{"type":"audit"},"outcome":"denied"`}},
	},
	"admin.off_hours": {
		eventExample{members: `"type":"config.change","time":"2026-11-21T12:00:00Z"`}, // a Saturday
		[]eventExample{{members: `"type":"config.change","time":"2026-11-20T12:00:00Z"`}, {members: `"type":"tool.call","time":"2026-11-21T12:00:00Z"`}},
	},
	"finding.injection": {
		eventExample{threat: scan.High, findings: findingsOf("pii.email", "injection.instruction_override")},
		[]eventExample{{threat: scan.Medium, findings: findingsOf("injection.instruction_override")}, {threat: scan.High, findings: findingsOf("secret.api_key")},
			{threat: scan.High, findings: findingsOf("injection.instruction_override"), members: `"type":"message.user"`}},
	},
	"finding.critical": {
		eventExample{members: `"type":"message.user"`, threat: scan.Critical},
		[]eventExample{{members: `"type":"message.user"`, threat: scan.High}, {members: `"type":"llm.call"`}},
	},
	"finding.secret_sent": {
		eventExample{members: `"type":"message.agent"`, findings: findingsOf("secret.api_key"), threat: scan.Low},
		[]eventExample{{members: `"type":"message.user"`, findings: findingsOf("secret.api_key")}, {members: `"type":"message.agent"`, findings: findingsOf("pii.email")}},
	},
	"finding.unsafe_output": {
		eventExample{members: `"type":"message.agent"`, findings: findingsOf("output.script")},
		[]eventExample{{members: `"type":"message.agent"`}, {members: `"type":"tool.call"`, findings: findingsOf("output.script")}},
	},
	"read.bulk": {
		eventExample{members: `"type":"data.access","rows":47000`},
		[]eventExample{{members: `"type":"data.access","rows":9999`}, {members: `"type":"data.access","rows":47000,"user_id":null`},
			{members: `"type":"data.access","rows":47000,"outcome":"denied"`}},
	},
	"write.mass_delete": {
		eventExample{members: `"tool":{"name":"crm.delete_contacts"},"rows":800`},
		[]eventExample{{members: `"tool":{"name":"crm.delete_contacts"},"rows":3`}, {members: `"tool":{"name":"crm.update_contacts"},"rows":800`}},
	},
}

// Of each built-in rule on windows likewise.
var windowExamples = map[string]struct {
	holds map[string]float64
	fails []map[string]float64
}{
	"login.brute_force": {map[string]float64{"failed_logins": 10, "logins": 10}, []map[string]float64{{"failed_logins": 9, "logins": 9}}},
	"login.spraying": {map[string]float64{"failed_logins": 60, "logins": 100},
		[]map[string]float64{{"failed_logins": 60, "logins": 1000}, {"failed_logins": 20, "logins": 21}}},
	"permission.burst":   {map[string]float64{"grants": 10}, []map[string]float64{{"grants": 9}}},
	"denied.burst":       {map[string]float64{"denials": 40, "events": 100}, []map[string]float64{{"denials": 40, "events": 200}, {"denials": 20, "events": 20}}},
	"rate_limit.probing": {map[string]float64{"rate_limits": 30}, []map[string]float64{{"rate_limits": 29}}},
	"errors.half":        {map[string]float64{"errors": 120, "events": 200}, []map[string]float64{{"errors": 120, "events": 300}, {"errors": 3, "events": 5}}},
	"budget.cost":        {map[string]float64{"cost_usd": 50.01}, []map[string]float64{{"cost_usd": 50}}},
	"budget.cost_day":    {map[string]float64{"cost_usd": 251}, []map[string]float64{{"cost_usd": 249}}},
	"budget.cost_agent":  {map[string]float64{"cost_usd": 1001}, []map[string]float64{{"cost_usd": 999}}},
	"budget.tokens":      {map[string]float64{"tokens": 1.1e7}, []map[string]float64{{"tokens": 1e7}}},
	"read.bulk_day":      {map[string]float64{"rows": 50000}, []map[string]float64{{"rows": 49999}}},
	"textbook.calls": {map[string]float64{"calls": 17, "baseline.calls.mean": 10, "baseline.calls.std": 2, "baseline.calls.n": 10},
		[]map[string]float64{{"calls": 16, "baseline.calls.mean": 10, "baseline.calls.std": 2, "baseline.calls.n": 10},
			{"calls": 17, "baseline.calls.mean": 10, "baseline.calls.std": 2, "baseline.calls.n": 9}}},
	"textbook.tokens": {map[string]float64{"tokens": 501, "baseline.tokens.mean": 100, "baseline.tokens.n": 10},
		[]map[string]float64{{"tokens": 500, "baseline.tokens.mean": 100, "baseline.tokens.n": 10}, {"tokens": 501}}},
	"textbook.network": {map[string]float64{"known_networks": 5, "new_networks": 1},
		[]map[string]float64{{"known_networks": 4, "new_networks": 1}, {"known_networks": 5}}},
	"textbook.errors": {map[string]float64{"errors": 3, "events": 5, "baseline.events.n": 10},
		[]map[string]float64{{"errors": 2, "events": 4, "baseline.events.n": 10}, {"errors": 3, "events": 5}}},
	"textbook.several": {
		map[string]float64{"calls": 17, "baseline.calls.mean": 10, "baseline.calls.std": 2, "baseline.calls.n": 10, "known_networks": 5, "new_networks": 1,
			"errors": 3, "events": 5, "baseline.events.n": 10},
		[]map[string]float64{{"calls": 17, "baseline.calls.mean": 10, "baseline.calls.std": 2, "baseline.calls.n": 10, "known_networks": 5, "new_networks": 1}}},
}

// everyRule switches all built-in rules on, and names a network.
func everyRule(t *testing.T) *Set {
	t.Helper()
	set, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	text.WriteString("version: 1\nlists: {office_networks: [10.0.0.0/8]}\nrules:\n")
	for i := range set.Len() {
		text.WriteString("  - {id: " + set.Rule(i).ID + ", enabled: true}\n")
	}
	if set, err = Parse("all.yaml", []byte(text.String())); err != nil {
		t.Fatal(err)
	}
	return set
}

func TestBuiltInRules(t *testing.T) {
	set := everyRule(t)
	m := set.Matcher()
	for i := range set.Len() {
		r := set.Rule(i)
		if r.Window != nil {
			f := func(values map[string]float64, want bool) {
				t.Helper()
				if got := contains(m.Window(nil, r.Window.Of, r.Window.Over, view(t, values)), i); got != want {
					t.Errorf("%s of %v: %v", r.ID, values, got)
				}
			}
			examples, ok := windowExamples[r.ID]
			if !ok || len(examples.fails) == 0 {
				t.Errorf("%s has no examples", r.ID)
			}
			f(examples.holds, true)
			for _, values := range examples.fails {
				f(values, false)
			}
			continue
		}
		f := func(e eventExample, want bool) {
			t.Helper()
			if got := contains(m.Match(nil, parseEvent(t, e.members), e.findings, e.threat), i); got != want {
				t.Errorf("%s of %v: %v", r.ID, e, got)
			}
		}
		examples, ok := eventExamples[r.ID]
		if !ok || len(examples.fails) == 0 {
			t.Errorf("%s has no examples", r.ID)
		}
		f(examples.holds, true)
		for _, e := range examples.fails {
			f(e, false)
		}
		if broken, cut := set.Troubles(i); broken > 0 || cut > 0 {
			t.Errorf("%s: %d times not to be told, %d times cut", r.ID, broken, cut)
		}
	}
}

func contains(numbers []int, i int) bool {
	for _, n := range numbers {
		if n == i {
			return true
		}
	}
	return false
}

// The rules that are named so have the severities that the textbook gives them, and are off: a channel with them is never silent.
func TestTextbookRules(t *testing.T) {
	set, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	for id, severity := range map[string]string{
		"textbook.calls": "high", "textbook.tokens": "high", "textbook.network": "medium", "textbook.errors": "medium", "textbook.several": "critical",
	} {
		i, ok := set.Find(id)
		if !ok || set.Rule(i).Severity.String() != severity || set.Rule(i).Enabled {
			t.Errorf("%s: %+v", id, set.Rule(i))
		}
	}
}
