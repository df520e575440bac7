package rules

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// An engine with rules says which one held, what was expected and what was seen: of windows of a user and of an agent, and of single events.
func TestRulesInTheEngine(t *testing.T) {
	set := mustParse(t, `
rules:
  - {id: cost, title: T, severity: critical, expected: at most 2 USD an hour, window: {of: subject, over: 1h, when: cost_usd > 2}}
  - {id: agent, title: T, severity: high, window: {of: agent, over: 24h, when: 'entity == "support" && tenant == "acme" && events >= 5'}}
  - {id: never, title: T, severity: high, window: {of: agent, over: 24h, when: 'entity == "other"'}}
  - {id: single, title: A single event, severity: high, on: tool.call, event: rows > 10}
`)
	cfg := anomaly.DefaultConfig()
	cfg.Rules = set.ForEngine()
	engine, err := anomaly.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	engine.Partitions([]int32{0})
	single, _ := set.Find("single")
	subjects := [...][16]byte{{1}, {}} // a user, and hours later the agent by itself: what a user's incident explains is not said of the agent again
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for i := range 20 {
		o := anomaly.Observation{
			Offset: int64(i), Time: start.Add(time.Duration(i/10)*3*time.Hour + time.Duration(i)*time.Second).UnixMicro(), Tenant: "acme", Subject: subjects[i/10], Type: "llm.call", Action: "chat",
			Outcome: events.Success, Agent: "support", CostMicroUSD: 300_000,
		}
		o.Recorded = o.Time
		binary.BigEndian.PutUint64(o.Event[:], uint64(i+1))
		if i == 3 {
			o.Matches = []int{single}
		}
		engine.Observe(&o)
	}
	signals := map[string]anomaly.Signal{}
	engine.Clock(0, start.Add(5*time.Hour).UnixMicro())
	for _, in := range engine.Take(nil) {
		for _, s := range in.Signals {
			signals[s.Name] = s
		}
	}
	if s := signals["rule.cost"]; s.Expected != "at most 2 USD an hour" || s.Observed != "cost_usd 3.00" {
		t.Errorf("%+v", s)
	}
	if s := signals["rule.agent"]; !strings.Contains(s.Observed, "events 20") {
		t.Errorf("%+v", s)
	}
	if s := signals["rule.single"]; s.Observed != "A single event" {
		t.Errorf("%+v", s)
	}
	if _, ok := signals["rule.never"]; ok {
		t.Error("a rule of another agent held")
	}
}

// After an incident a rule is not said again of the same user for suppress_for, which a restart in between does not change.
func TestSuppressFor(t *testing.T) {
	f := func(suppress string, want int) {
		t.Helper()
		set := mustParse(t, `rules:
  - {id: single, title: T, severity: high, on: tool.call, event: rows > 10, suppress_for: `+suppress+`}
  - {id: window, title: T, severity: high, window: {of: subject, over: 24h, when: rows > 100}, suppress_for: `+suppress+`}
`)
		start := time.Date(2026, 11, 20, 0, 30, 0, 0, time.UTC)
		engine := engineWith(t, set)
		found := map[string]bool{}
		take := func() {
			for _, in := range engine.Take(nil) {
				if in.Status == anomaly.Final {
					found[in.ID.String()] = true
				}
			}
		}
		for i := range 10 { // every three hours, for 27 hours
			o := anomaly.Observation{Offset: int64(i), Time: start.Add(time.Duration(i) * 3 * time.Hour).UnixMicro(), Tenant: "acme", Subject: [16]byte{1},
				Type: "tool.call", Action: "call", Outcome: events.Success, Rows: 200, Matches: []int{0}}
			o.Recorded = o.Time
			binary.BigEndian.PutUint64(o.Event[:], uint64(i+1))
			engine.Observe(&o)
			engine.Clock(0, o.Time+(2*time.Hour).Microseconds())
			take()
			if i == 4 {
				again := engineWith(t, set)
				engine.Changed(func(key anomaly.Key, state []byte) {
					if len(state) == 0 {
						return // gone
					}
					if err := again.Restore(key, state); err != nil {
						t.Fatal(err)
					}
				})
				engine = again
			}
		}
		engine.Clock(0, start.Add(48*time.Hour).UnixMicro())
		take()
		if len(found) != want {
			t.Errorf("%s: %d incidents, want %d", suppress, len(found), want)
		}
	}
	f("0s", 10)
	f("12h", 3)
	f("72h", 1)
}

func engineWith(t *testing.T, set *Set) *anomaly.Engine {
	t.Helper()
	cfg := anomaly.DefaultConfig()
	cfg.Rules = set.ForEngine()
	engine, err := anomaly.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	engine.Partitions([]int32{0})
	return engine
}
