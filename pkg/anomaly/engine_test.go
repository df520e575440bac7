package anomaly

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
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

// What an hour sums up to is said as soon as it is too much, also if some of the hour's minutes are closed.
func TestWindowRuleInOpenMinutes(t *testing.T) {
	e := testEngine(t, nil)
	spend := func(n int, second int64) []Incident {
		o := testEvent(n, 1, second)
		o.CostMicroUSD = 20e6
		e.Observe(&o)
		return e.Take(nil)
	}
	if said := append(spend(1, 0), spend(2, 10*60)...); len(said) != 0 {
		t.Fatalf("40 USD: %+v", said)
	}
	said := spend(3, 10*60+10)
	if len(said) != 1 || said[0].Status != Provisional || said[0].CostUSD != 40 ||
		len(said[0].Signals) != 1 || said[0].Signals[0].Name != "rule.test_2" { // and nothing of baselines that have learned for ten minutes
		t.Errorf("60 USD: %+v", said)
	}
}

// A provisional incident that goes on is said again when it has a quarter more events or shows something else, with what it has cost by then.
func TestProvisionalGrows(t *testing.T) {
	e := testEngine(t, nil)
	// Two users of one agent, whose events come from two partitions by turns: no minute counts twice.
	var said []Incident
	for n := range 40 {
		o := testEvent(n, 1, int64(n/2+30*(n%2)))
		o.CostMicroUSD, o.Matches = 1e6, []int{3}
		if n == 20 {
			o.Matches = []int{3, 1}
		}
		e.Observe(&o)
		said = append(said, e.Take(nil)...)
	}
	for i, in := range said {
		if in.Status != Provisional || in.ID != said[0].ID || in.Revision != uint32(i+1) || in.CostUSD != float64(in.EventCount) || !in.Time.Equal(said[0].Time) {
			t.Errorf("%+v", in)
		}
	}
	if n := len(said); n < 8 || n > 20 || said[n-1].EventCount < 20 || said[n-1].EventCount > 40 {
		t.Errorf("%d revisions, the last: %+v", n, said[max(n-1, 0)])
	}
	final := closeAll(e)
	if last := final[len(final)-1]; last.Status != Final || last.EventCount != 40 || last.CostUSD != 40 || last.ID != said[0].ID {
		t.Errorf("%+v", final)
	}
}

// What comes late shows that an incident began earlier: that one has another id, so the provisional one is taken back.
func TestWithdrawn(t *testing.T) {
	e := testEngine(t, nil)
	first, late := testEvent(1, 1, 600), testEvent(2, 1, 480)
	first.Matches, late.Matches = []int{2}, []int{2}
	late.Recorded = first.Recorded
	e.Observe(&first)
	provisional := e.Take(nil)
	e.Observe(&late)
	all := closeAll(e)
	if len(provisional) != 1 {
		t.Fatalf("%+v", provisional)
	}
	taken, final := false, uuid.Nil
	for _, in := range all {
		switch in.Status {
		case Withdrawn:
			taken = in.ID == provisional[0].ID
		case Final:
			final = in.ID
		}
	}
	if !taken || final == uuid.Nil || final == provisional[0].ID {
		t.Errorf("%+v then %+v", provisional, all)
	}
}

func TestBudget(t *testing.T) {
	e := testEngine(t, func(c *Config) { c.AlertsPerDay = 2 })
	for n := range 6 {
		o := testEvent(n, byte(n), int64(n))
		if o.Matches = []int{2}; n == 5 {
			o.Matches = []int{4}
		}
		e.Observe(&o)
	}
	alone, counted := 0, 0
	for _, in := range closeAll(e) {
		if in.Status != Final {
			continue
		}
		if in.Summarised {
			counted++
			if in.Severity == Critical {
				t.Errorf("critical, and only counted: %+v", in)
			}
		} else {
			alone++
		}
	}
	if alone != 3 || counted != 3 {
		t.Errorf("%d alerted, %d counted; 3 (one of them critical) and 3 expected", alone, counted)
	}
}

// Thousands of made-up critical incidents do not bury a real one: theirs is a budget, too, in open minutes as in closed ones.
func TestBudgetOfCriticals(t *testing.T) {
	e := testEngine(t, func(c *Config) { c.AlertsPerDay = 2 })
	const more = 40
	for n := range leastCriticals + more {
		o := testEvent(n, 1, 30)
		binary.BigEndian.PutUint64(o.Subject[:], uint64(n+1))
		o.Matches = []int{4}
		e.Observe(&o)
	}
	said := map[Status][2]int{} // alone, summarised
	count := func(incidents []Incident) {
		for _, in := range incidents {
			n := said[in.Status]
			if in.Summarised {
				n[1]++
			} else {
				n[0]++
			}
			said[in.Status] = n
		}
	}
	count(e.Take(nil))
	count(closeAll(e))
	for _, status := range []Status{Provisional, Final} {
		if said[status] != [2]int{leastCriticals, more} {
			t.Errorf("%s: %v alone and summarised, %d and %d expected", status, said[status], leastCriticals, more)
		}
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

// keep stores states as a process does.
func keep(e *Engine, states map[Key][]byte) {
	e.Changed(func(key Key, state []byte) {
		if state == nil {
			delete(states, key)
			return
		}
		states[key] = slices.Clone(state)
	})
}

func TestForget(t *testing.T) {
	e := testEngine(t, nil)
	states := map[Key][]byte{}
	gone, stays := testSubject(1), testSubject(2)
	for n := range 40 {
		o := testEvent(n, byte(1+n%2), int64(n*20))
		if n%7 == 0 {
			o.Matches = []int{3}
		}
		e.Observe(&o)
		if n == 10 {
			o := testEvent(1000, 1, 200)
			o.Subject = [16]byte{} // of the agent itself
			o.Matches = []int{2}
			e.Observe(&o)
		}
	}
	e.Direct(Directive{Kind: FalsePositive, At: testStart + 1e6, Tenant: "acme", Of: EntitySubject, Subject: gone, Signals: []string{"rate.cost"}})
	e.Clock(0, testStart+500e6)
	keep(e, states)
	if !mentions(states, gone[:]) || !mentions(states, stays[:]) {
		t.Fatal("the states do not hold what is to be forgotten")
	}
	e.Forget(gone)
	keep(e, states)
	check := func() {
		t.Helper()
		if mentions(states, gone[:]) {
			t.Error("a state still holds the person")
		}
		if !mentions(states, stays[:]) {
			t.Error("the other person is gone as well")
		}
		for n := 0; n < 40; n += 2 {
			if o := testEvent(n, 1, 0); mentions(states, o.Event[:]) {
				t.Errorf("a state still holds event %d of the person", n)
			}
		}
	}
	check()
	for _, in := range e.Take(nil) {
		if in.Subject == uuid.UUID(gone) {
			t.Errorf("said of the person: %+v", in)
		}
	}
	e.Clock(0, testStart+1200e6)
	keep(e, states)
	check()
	for _, in := range e.Take(nil) {
		if in.Subject == uuid.UUID(gone) {
			t.Errorf("said of the person: %+v", in)
		}
	}
}

func mentions(states map[Key][]byte, what []byte) bool {
	for key, state := range states {
		// Incidents hold ids as text, too.
		if bytes.Equal(key.Subject[:], what) || bytes.Contains(state, what) || bytes.Contains(state, []byte(uuid.UUID(what).String())) {
			return true
		}
	}
	return false
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

func TestSuppressAndFalsePositive(t *testing.T) {
	e := testEngine(t, nil)
	e.Direct(Directive{Kind: Suppress, At: testStart, Until: testStart + 3600e6, Tenant: "acme", Of: EntitySubject, Subject: testSubject(1), Signals: []string{"rule.*"}})
	for n, second := range []int64{60, 1800, 7200} {
		o := testEvent(n, 1, second)
		o.Matches = []int{3}
		e.Observe(&o)
	}
	var finals []Incident
	for _, in := range closeAll(e) {
		if in.Status == Final {
			finals = append(finals, in)
		}
	}
	if len(finals) != 1 || finals[0].First.UnixMicro() != testStart+7200e6 {
		t.Errorf("%+v", finals)
	}
	b := bar{signal: "rate.*"}
	if !b.matches("rate.cost") || b.matches("value.cost") || b.matches("rate") {
		t.Error("a star stands for what is below")
	}
}

// A gap is said once; what is only late is none.
func TestSequenceGap(t *testing.T) {
	f := func(lost bool) int {
		e := testEngine(t, nil)
		seq := uint64(0)
		for n := range 60 {
			o := testEvent(n, 1, int64(n*60))
			o.Producer, o.ProducerSeq = "gateway", seq
			seq++
			if lost && n == 20 {
				seq += 7
			}
			e.Observe(&o)
		}
		count := 0
		for _, in := range closeAll(e) {
			if in.Kind == EntityProducer && in.Signals[0].Name == "gap.sequence" && in.Status == Final {
				count++
			}
		}
		return count
	}
	if n := f(false); n != 0 {
		t.Errorf("%d gaps where there is none", n)
	}
	if n := f(true); n != 1 {
		t.Errorf("%d gaps, 1 expected", n)
	}
}

// A producer that sends events of several tenants numbers them through: no tenant lacks what the others have, and what is lost is said once.
func TestSequenceGapAcrossTenants(t *testing.T) {
	f := func(lost, restart bool) (gaps []Incident) {
		t.Helper()
		e := testEngine(t, nil)
		seq := uint64(0)
		states := map[Key][]byte{}
		for n := range 90 {
			o := testEvent(n, 1, int64(n*40))
			o.Tenant = []string{"umbrella", "acme", "initech"}[n%7%3]
			o.Producer, o.ProducerSeq = "gateway", seq
			seq++
			if lost && n == 30 {
				seq += 7
			}
			e.Observe(&o)
			if restart && n == 45 {
				keep(e, states)
				at := e.ResumeAt(0)
				gaps = append(gaps, e.Take(nil)...)
				e = testEngine(t, nil)
				for key, state := range states {
					if err := e.Restore(key, state); err != nil {
						t.Fatal(err)
					}
				}
				for back := int(at); back <= n; back++ {
					again := testEvent(back, 1, int64(back*40))
					again.Tenant = []string{"umbrella", "acme", "initech"}[back%7%3]
					again.Producer, again.ProducerSeq = "gateway", uint64(back)
					if lost && back > 30 {
						again.ProducerSeq += 7
					}
					e.Observe(&again)
				}
			}
		}
		return append(gaps, closeAll(e)...)
	}
	for _, restart := range []bool{false, true} {
		if gaps := f(false, restart); len(gaps) != 0 {
			t.Errorf("gaps where there is none: %+v", gaps)
		}
		gaps := f(true, restart)
		if len(gaps) != 1 || gaps[0].Tenant != "acme" || gaps[0].Entity != "gateway" || gaps[0].Signals[0].Name != "gap.sequence" ||
			!strings.HasPrefix(gaps[0].Signals[0].Observed, "7 events are missing") {
			t.Errorf("7 lost: %+v", gaps)
		}
	}
}

// After a release the processes of a service have new ids: those before them are not silent, they are no more. Silent is the service, when nobody sends.
func TestSilenceAfterRelease(t *testing.T) {
	e := testEngine(t, nil)
	const before, after = "gateway/018f0000-0000-7000-8000-000000000001", "gateway/018f0000-0000-7000-8000-000000000002"
	n := 0
	for ; n < 5*1440/2; n++ {
		o := testEvent(n, 1, int64(n*120))
		o.Producer, o.ProducerSeq = before, uint64(n)
		if n >= 4*1440/2 {
			o.Producer, o.ProducerSeq = after, uint64(n-4*1440/2)
		}
		e.Observe(&o)
	}
	if got := e.Take(nil); len(got) != 0 {
		t.Errorf("after a release: %+v", got)
	}
	e.Clock(0, testStart+int64(n+30)*120e6)
	if got := e.Take(nil); len(got) != 0 {
		t.Errorf("a process of a day: %+v", got) // nothing is known of it yet
	}
	for ; n < 8*1440/2; n++ {
		o := testEvent(n, 1, int64(n*120))
		o.Producer, o.ProducerSeq = after, uint64(n-4*1440/2)
		e.Observe(&o)
	}
	e.Take(nil)
	e.Clock(0, testStart+int64(n+180)*120e6)
	got := e.Take(nil)
	if len(got) != 1 || got[0].Entity != after || got[0].Signals[0].Name != "silence.producer" {
		t.Errorf("nobody sends: %+v", got)
	}
}

func TestService(t *testing.T) {
	f := func(producer, want string, is bool) {
		t.Helper()
		if got, ok := service(producer); got != want || ok != is {
			t.Errorf("%s: %q, %v", producer, got, ok)
		}
	}
	f("api/018f0000-0000-7000-8000-000000000001", "api", true)
	f("a/b/018F0000-0000-7000-8000-000000000001", "a/b", true)
	f("018f0000-0000-7000-8000-000000000001", "", true)
	f("api", "", false)
	f("api/1", "", false)
	f("api/018f0000000070008000000000000001", "", false)
	f("api/", "", false)
	f("", "", false)
}

func TestSilence(t *testing.T) {
	e := testEngine(t, nil)
	n := 0
	for ; n < 3*1440/2; n++ {
		o := testEvent(n, 1, int64(n*120))
		o.Producer, o.ProducerSeq = "gateway", uint64(n)
		e.Observe(&o)
	}
	e.Take(nil)
	last := testStart + int64(n-1)*120e6
	e.Clock(0, last+19*60e6)
	if got := e.Take(nil); len(got) != 0 {
		t.Errorf("after 14 minutes: %+v", got)
	}
	e.Clock(0, last+30*60e6)
	got := e.Take(nil)
	if len(got) != 1 || got[0].Kind != EntityProducer || got[0].Entity != "gateway" || got[0].Signals[0].Name != "silence.producer" {
		t.Errorf("after half an hour: %+v", got)
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

// goldenStates is an engine with something of every kind.
func goldenStates(t testing.TB) map[string][]byte {
	e := testEngine(t, nil)
	for n := range 300 {
		o := testEvent(n, byte(1+n%3), int64(n*400))
		o.Rows, o.InputTokens, o.CostMicroUSD, o.Network, o.ResourceType = uint64(n), uint64(100*n), uint64(1000*n), uint64(n%4), "customer"
		o.Producer, o.ProducerSeq = "gateway", uint64(n+n/200)
		if n == 299 {
			o.Matches = []int{3}
		}
		e.Observe(&o)
	}
	e.Direct(Directive{Kind: Suppress, At: testStart + 100e6, Until: testStart + 1e12, Tenant: "acme", Of: EntityAgent, Entity: "support", Signals: []string{"rate.rows"}})
	e.Direct(Directive{Kind: FalsePositive, At: testStart + 1e13, Tenant: "acme", Of: EntityTenant})
	e.Clock(0, testStart+299*400e6+600e6)
	states := map[string][]byte{}
	e.Changed(func(key Key, state []byte) {
		name := string(key.Kind)
		if _, ok := states[name]; !ok && state != nil {
			states[name] = slices.Clone(state)
		}
	})
	return states
}

func goldenKey(kind string, state []byte) Key {
	key := Key{Kind: StateKind(kind), Tenant: "acme"}
	switch key.Kind {
	case StateSubject:
		key.Subject = testSubject(1)
	case StateAgent:
		key.Entity = "support"
	case StateProducer:
		key.Entity = "gateway"
	case StateIncident:
		if at := bytes.Index(state, []byte(`{"id":"`)); at >= 0 && len(state) > at+43 {
			key.Entity = string(state[at+7 : at+43])
		}
		key.Subject = testSubject(3)
	case StateEngine:
		key.Tenant = ""
	}
	return key
}

// States outlive versions of the program: what was written once is read for ever, or refused.
func TestGoldenStates(t *testing.T) {
	states := goldenStates(t)
	if len(states) != 7 {
		t.Fatalf("%d kinds of states, 7 expected", len(states))
	}
	for kind, state := range states {
		path := filepath.Join("testdata", "state-"+kind+".bin")
		if *updateGolden {
			if err := os.WriteFile(path, state, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(state, want) {
			t.Errorf("the state of a %s is not what it was: a new version of the format needs a new number", kind)
		}
		e := testEngine(t, nil)
		if err := e.Restore(goldenKey(kind, want), want); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// States of the first version, which knew no series, go on.
func TestFirstVersionOfStates(t *testing.T) {
	for kind := range goldenStates(t) {
		state, err := os.ReadFile(filepath.Join("testdata", "v1", "state-"+kind+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		e := testEngine(t, nil)
		if err := e.Restore(goldenKey(kind, state), state); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := e.Restore(goldenKey(kind, state), state[:len(state)-1]); err == nil {
			t.Errorf("%s: cut off, and taken", kind)
		}
	}
}

// FuzzRestore: states are read from a database; whatever stands there must not stop the process.
func FuzzRestore(f *testing.F) {
	for kind, state := range goldenStates(f) {
		f.Add(kind, state)
	}
	f.Fuzz(func(t *testing.T, kind string, state []byte) {
		e := testEngine(t, nil)
		if err := e.Restore(goldenKey(kind, state), state); err != nil {
			return
		}
		for n := range 20 {
			o := testEvent(n, byte(n%3), int64(60*n))
			o.Producer, o.ProducerSeq, o.Rows = "gateway", uint64(n), uint64(1000*n)
			e.Observe(&o)
		}
		e.Clock(0, testStart+int64(time.Hour/time.Microsecond))
		e.Take(nil)
		e.Changed(func(key Key, state []byte) {
			if state == nil {
				return
			}
			if err := testEngine(t, nil).Restore(key, state); err != nil {
				t.Errorf("what was written is refused: %v", err)
			}
		})
	})
}
