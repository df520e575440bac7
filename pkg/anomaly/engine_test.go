package anomaly

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/agentaudit/agentaudit/pkg/events"
)

var updateGolden = flag.Bool("update-states", false, "rewrite the golden states")

// testRules has a rule of each severity; number 4 fires on windows of a minute with five calls or more, number 2 on hours that cost more than 50 USD.
type testRules struct{}

func (testRules) Rule(n int) (Rule, bool) {
	if n < 1 || n > 4 {
		return Rule{}, false
	}
	return Rule{ID: fmt.Sprintf("test_%d", n), Title: "a test", Expected: "no test", Severity: Severity(min(n, 4))}, true
}

func (testRules) Windows(view *WindowView, fire func(int, string)) {
	if view.Of == EntitySubject && view.Over == time.Minute && view.Value(WindowCalls) >= 5 {
		fire(4, "five calls")
	}
	if view.Of == EntitySubject && view.Over == time.Hour && view.Value(WindowCostUSD) > 50 {
		fire(2, "much money")
	}
}

const testStart = int64(29_000_000) * microsPerMinute

// failer is a test, or a property.
type failer interface {
	Helper()
	Fatal(args ...any)
}

func testEngine(t failer, change func(*Config)) *Engine {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Rules = testRules{}
	if change != nil {
		change(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func testSubject(n byte) (id [16]byte) {
	for i := range id {
		id[i] = 0xA0 + n
	}
	return id
}

// testEvent is an event of a user at a second after testStart.
func testEvent(n int, user byte, second int64) Observation {
	o := Observation{
		Offset: int64(n), Time: testStart + second*1e6, Recorded: testStart + second*1e6, Tenant: "acme", Subject: testSubject(user), Type: "tool.call",
		Action: "call", Outcome: events.Success, Agent: "support", Tool: "crm_lookup",
	}
	binary.BigEndian.PutUint64(o.Event[:], 0xE7E7E7E7_00000000+uint64(n))
	binary.BigEndian.PutUint64(o.Event[8:], 0xE7E7E7E7_11111111)
	return o
}

func closeAll(e *Engine) []Incident {
	e.Clock(0, testStart+int64(48*time.Hour/time.Microsecond))
	return e.Take(nil)
}

func TestRuleBecomesIncident(t *testing.T) {
	e := testEngine(t, nil)
	o := testEvent(1, 1, 30)
	o.Matches = []int{3}
	e.Observe(&o)
	early := e.Take(nil)
	if len(early) != 1 || early[0].Status != Provisional || early[0].Severity != High || early[0].Revision != 1 {
		t.Fatalf("provisional: %+v", early)
	}
	e.Observe(&o) // again
	final := closeAll(e)
	if len(final) != 1 || final[0].Status != Final || final[0].ID != early[0].ID || final[0].Revision != 2 || final[0].EventCount != 1 {
		t.Fatalf("final: %+v", final)
	}
	if in := final[0]; in.Signals[0].Name != "rule.test_3" || in.Signals[0].Expected != "no test" || in.Subject != uuid.UUID(o.Subject) || in.Events[0] != uuid.UUID(o.Event) || !slices.Equal(in.Agents, []string{"support"}) {
		t.Errorf("final: %+v", in)
	}
	if text, err := MarshalIncident(&final[0]); err != nil {
		t.Error(err)
	} else if back, err := ParseIncident(text); err != nil || !reflect.DeepEqual(back, final[0]) {
		t.Errorf("%v: %+v, want %+v", err, back, final[0])
	}
}

func TestWindowRule(t *testing.T) {
	e := testEngine(t, nil)
	for n := range 5 {
		o := testEvent(n, 1, int64(10*n))
		e.Observe(&o)
	}
	final := closeAll(e)
	if len(final) != 1 || final[0].Severity != Critical || final[0].Signals[0].Name != "rule.test_4" {
		t.Fatalf("%+v", final)
	}
}

// Names that somebody makes up do not hide what is found: it is about the agent or the tenant then.
func TestNoRoomHidesNothing(t *testing.T) {
	e := testEngine(t, func(c *Config) { c.MaxSubjects, c.MaxAgents = 1, 1 })
	for n, o := range []Observation{{Agent: "support"}, {Agent: "support", Matches: []int{3}}, {Tenant: "other", Agent: "other", Matches: []int{3}}, {Tenant: "third", Matches: []int{3}}} {
		at := testEvent(n, byte(n+1), int64(n))
		at.Agent, at.Matches = o.Agent, o.Matches
		if o.Tenant != "" {
			at.Tenant = o.Tenant
		}
		e.Observe(&at)
	}
	var said []EntityKind
	for _, in := range e.Take(nil) {
		if in.Status != Provisional {
			t.Errorf("%+v", in)
		}
		said = append(said, in.Kind)
	}
	slices.Sort(said)
	if !slices.Equal(said, []EntityKind{EntityAgent, EntityTenant, EntityTenant}) {
		t.Errorf("at once, by whom it is about: %v", said)
	}
	if n := e.Stats().Unwatched; n != 4 {
		t.Errorf("%d times no room; 3 users and an agent expected", n)
	}
}

func TestHostileValues(t *testing.T) {
	e := testEngine(t, func(c *Config) { c.MaxSubjects, c.MaxAgents, c.MaxTenants, c.MaxProducers = 3, 3, 2, 3 })
	times := []int64{math.MinInt64, -62135596800000000, 0, testStart, 253402300799000000, math.MaxInt64}
	states := map[Key][]byte{}
	n := 0
	for _, recorded := range []int64{testStart, testStart + 1, math.MinInt64, -62135596800000000} {
		for _, at := range times {
			for user := range byte(5) {
				n++
				o := testEvent(n, user, 0)
				o.Time, o.Recorded = at, recorded
				o.InputTokens, o.OutputTokens, o.Rows, o.DurationMillis, o.CostMicroUSD = math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64
				o.Producer, o.ProducerSeq = "p"+string(rune('a'+user)), math.MaxUint64-uint64(n%2)
				o.Tenant = string(rune('a' + n%5))
				o.Network, o.Session, o.Resource = math.MaxUint64, math.MaxUint64, math.MaxUint64
				o.Matches = []int{-5, 1, 99}
				e.Observe(&o)
			}
		}
	}
	e.Clock(0, 253402300799000000) // the end of the year 9999
	e.Clock(0, math.MaxInt64)
	for _, in := range e.Take(nil) {
		if math.IsNaN(in.CostUSD) || math.IsInf(in.CostUSD, 0) {
			t.Errorf("%+v", in)
		}
		if _, err := MarshalIncident(&in); err != nil {
			t.Error(err)
		}
	}
	if s := e.Stats(); s.Subjects > 3 || s.Producers > 3 {
		t.Errorf("%+v", s)
	}
	keep(e, states)
	again := testEngine(t, nil)
	for key, state := range states {
		if err := again.Restore(key, state); err != nil {
			t.Errorf("%v: %v", key, err)
		}
	}
}

// TestSameFinals: order within the lateness, repetition and restarts do not change what is final.
func TestSameFinals(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		count := rapid.IntRange(1, 60).Draw(rt, "events")
		stream := make([]Observation, count)
		for n := range stream {
			o := testEvent(n, byte(rapid.IntRange(1, 3).Draw(rt, "user")), int64(rapid.IntRange(0, 1800).Draw(rt, "second")))
			o.Partition = int32(o.Subject[0] % 2)
			o.Rows = rapid.Uint64Range(0, 5000).Draw(rt, "rows")
			o.Producer, o.ProducerSeq = "gateway", uint64(n)
			if rapid.IntRange(0, 5).Draw(rt, "matches") == 0 {
				o.Matches = []int{rapid.IntRange(1, 3).Draw(rt, "rule")}
			}
			stream[n] = o
		}
		finals := func(stream []Observation, kills map[int]bool) map[uuid.UUID]Incident {
			var logs [2][]Observation
			var order []int32
			for _, o := range stream {
				o.Offset = int64(len(logs[o.Partition]))
				logs[o.Partition] = append(logs[o.Partition], o)
				order = append(order, o.Partition)
			}
			e := testEngine(rt, nil)
			e.Partitions([]int32{0, 1})
			states, resume, last := map[Key][]byte{}, [2]int64{}, map[uuid.UUID]Incident{}
			var next [2]int64
			read := func(p int32) {
				e.Observe(&logs[p][next[p]])
				next[p]++
				for _, in := range e.Take(nil) {
					if in.Revision = 0; in.Status == Final {
						last[in.ID] = in
					}
				}
			}
			for i, p := range order {
				if kills[i] {
					keep(e, states)
					resume[0], resume[1] = e.ResumeAt(0), e.ResumeAt(1)
					at := next
					e = testEngine(rt, nil)
					for key, state := range states {
						if err := e.Restore(key, state); err != nil {
							rt.Fatal(err)
						}
					}
					e.Partitions([]int32{0, 1})
					next = resume
					for q := range next {
						for next[q] < at[q] {
							read(int32(q))
						}
					}
				}
				read(p)
			}
			for q := range int32(2) {
				e.Clock(q, testStart+int64(48*time.Hour/time.Microsecond))
			}
			for _, in := range e.Take(nil) {
				if in.Revision = 0; in.Status == Final {
					last[in.ID] = in
				}
			}
			return last
		}
		byTime := func(a, b Observation) int { return int(a.Recorded - b.Recorded) }
		slices.SortStableFunc(stream, byTime)
		want := finals(stream, nil)
		mixed := slices.Clone(stream)
		for i := range mixed {
			mixed[i].Recorded = mixed[i].Time + int64(rapid.IntRange(0, 299).Draw(rt, "delay"))*1e6
			if rapid.Bool().Draw(rt, "twice") {
				again := mixed[i]
				again.Recorded = again.Time + int64(rapid.IntRange(0, 299).Draw(rt, "again"))*1e6
				mixed = append(mixed, again)
			}
		}
		slices.SortStableFunc(mixed, byTime)
		kills := map[int]bool{}
		for range rapid.IntRange(0, 5).Draw(rt, "kills") {
			kills[rapid.IntRange(0, len(mixed)-1).Draw(rt, "kill")] = true
		}
		got := finals(mixed, kills)
		for id := range want {
			if !reflect.DeepEqual(got[id], want[id]) {
				rt.Errorf("final incident\n%+v\nwant\n%+v", got[id], want[id])
			}
		}
		if len(got) != len(want) {
			rt.Errorf("%d final incidents, %d expected", len(got), len(want))
		}
	})
}
