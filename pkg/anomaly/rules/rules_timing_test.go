package rules

import (
	"testing"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// mix is a day's events by their share in a hundred: what agents do, most of it calls of tools and models.
var mix = []struct {
	share    int
	members  string
	findings []scan.Finding
	threat   scan.Threat
}{
	{30, `"type":"tool.call","tool":{"name":"crm.lookup","call_id":"c"},"resource":{"type":"crm.contact","id":"7"},"duration_ms":40,"agent":{"id":"support"}`, nil, scan.Low},
	{25, `"type":"llm.call","model":{"provider":"anthropic","name":"claude"},"usage":{"input_tokens":2311,"output_tokens":187,"cost_usd":0.009738}`, nil, scan.Low},
	{12, `"type":"message.user","conversation_id":"c1"`, findingsOf("pii.email"), scan.Low},
	{12, `"type":"message.agent","conversation_id":"c1"`, nil, scan.Low},
	{12, `"type":"data.access","tool":{"name":"sql.query"},"resource":{"type":"orders"},"rows":12`, nil, scan.None},
	{3, `"type":"auth.login","source":{"ip":"203.0.113.7"}`, nil, scan.None},
	{2, `"type":"approval.decision","approval":{"risk":"high","decision":"approved","approver":"u-2"}`, nil, scan.None},
	{2, `"type":"tool.call","tool":{"name":"web.fetch"},"outcome":"failure"`, findingsOf("injection.instruction_override"), scan.Medium},
	{1, `"type":"config.change","attributes":{"setting":"max_steps"}`, nil, scan.None},
	{1, `"type":"rate_limit.exceeded","outcome":"blocked"`, nil, scan.None},
}

// mixed is an event of the mix, parsed.
type mixed struct {
	event    *events.Event
	findings []scan.Finding
	threat   scan.Threat
}

func mixedEvents(t testing.TB) []mixed {
	var all []mixed
	for _, m := range mix {
		for range m.share {
			all = append(all, mixed{parseEvent(t, m.members), m.findings, m.threat})
		}
	}
	return all
}

// BenchmarkBuiltInRules is the time for one event of the mix, which is 300 ns at most. Building the event is not counted.
func BenchmarkBuiltInRules(b *testing.B) {
	set, err := BuiltIn()
	if err != nil {
		b.Fatal(err)
	}
	m, all := set.Matcher(), mixedEvents(b)
	var matched []int
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := &all[i%len(all)]
		matched = m.Match(matched[:0], e.event, e.findings, e.threat)
	}
}

// BenchmarkBuiltInWindows is the time for all rules on the hour of one subject.
func BenchmarkBuiltInWindows(b *testing.B) {
	set, err := BuiltIn()
	if err != nil {
		b.Fatal(err)
	}
	m, v := set.Matcher(), view(b, map[string]float64{"calls": 20, "events": 60, "cost_usd": 0.3, "tokens": 9000})
	var matched []int
	b.ReportAllocs()
	for b.Loop() {
		matched = m.Window(matched[:0], anomaly.EntitySubject, lengths[1], v)
	}
}

// BenchmarkCEL is what a condition takes that CEL has to judge, with and without its cost being watched.
func BenchmarkCEL(b *testing.B) {
	for _, condition := range []string{`attributes["region"].size() == 7`, `attributes.exists(k, k.startsWith("x"))`} {
		b.Run(condition, func(b *testing.B) {
			m := mustParse(b, eventRule(condition)).Matcher()
			ev := parseEvent(b, `"attributes":{"region":"us","team":"a"}`)
			b.ReportAllocs()
			for b.Loop() {
				m.Match(nil, ev, nil, scan.None)
			}
		})
	}
}

// BenchmarkCut is the longest that a condition can take before it is cut off.
func BenchmarkCut(b *testing.B) {
	set := mustParse(b, eventRule(costly))
	m, ev, findings := set.Matcher(), manyAttributes(b), manyFindings()
	for b.Loop() {
		m.Match(nil, ev, findings, scan.None)
	}
	if _, cut := set.Troubles(0); cut == 0 {
		b.Fatal("it was not cut")
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := BuiltIn(); err != nil {
			b.Fatal(err)
		}
	}
}
