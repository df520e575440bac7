package anomaly

import (
	"encoding/binary"
	"os"
	"testing"
	"time"
)

// TestOldRecordsAreLookedAt: a record that says that Kafka took it long ago, behind newer ones in its partition, cannot be counted any more, but what rules and
// findings say of it is said: with a topic whose times its producers write, nobody could be seen otherwise who sets the clock back.
func TestOldRecordsAreLookedAt(t *testing.T) {
	e := testEngine(t, nil)
	states := map[string][]byte{}
	save := func() {
		e.Changed(func(key Key, state []byte) { states[string(key.Append(nil))] = append([]byte(nil), state...) })
	}
	now := testEvent(1, 1, 3600)
	e.Observe(&now)
	early := testEvent(2, 2, 30) // closed for 54 minutes
	early.Matches = []int{3}
	e.Observe(&early)
	save()
	said := e.Take(nil)
	if len(said) != 1 || said[0].Status != Provisional || said[0].Signals[0].Name != "rule.test_3" {
		t.Fatalf("%+v", said)
	}
	if e.Stats().Closed != 1 {
		t.Errorf("%+v", e.Stats())
	}
	final := closeAll(e)
	if len(final) != 1 || final[0].Status != Final || final[0].ID != said[0].ID || final[0].EventCount != 1 {
		t.Fatalf("%+v", final)
	}

	// After a restart it is read again, and is the same; what was counted before the minute closed is not new.
	e = testEngine(t, nil)
	for id, state := range states {
		key, err := ParseKey([]byte(id))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Restore(key, state); err != nil {
			t.Fatal(err)
		}
	}
	if at := e.ResumeAt(0); at > 1 {
		t.Errorf("reading goes on at %d", at)
	}
	before := testEvent(0, 3, 40)
	before.Matches = []int{4}
	for _, o := range []Observation{before, now, early} {
		e.Observe(&o)
	}
	again := closeAll(e)
	if len(again) != 2 || again[1].Status != Final || again[1].ID != final[0].ID || again[1].EventCount != 1 || again[1].Severity != final[0].Severity {
		t.Fatalf("%+v", again)
	}
}

// TestOneIDHidesNothing: an event with the id and the numbers of a harmless one is another event if anything else in its record differs.
func TestOneIDHidesNothing(t *testing.T) {
	e := testEngine(t, nil)
	harmless, bad := testEvent(1, 1, 30), testEvent(1, 1, 30)
	harmless.Digest, bad.Digest, bad.Offset, bad.Tool = 7, 8, 2, "wire_money"
	bad.Matches = []int{4}
	e.Observe(&harmless)
	e.Observe(&bad)
	e.Observe(&bad)
	if e.Stats().Repeated != 1 {
		t.Errorf("%+v", e.Stats())
	}
	final := closeAll(e)
	if len(final) == 0 || final[len(final)-1].Severity != Critical || final[len(final)-1].EventCount != 2 {
		t.Fatalf("%+v", final)
	}
}

// TestStateWithoutSettled: states from before places of settled minutes were kept are read: nothing in closed minutes counts as new until one closes.
func TestStateWithoutSettled(t *testing.T) {
	state, err := os.ReadFile("testdata/state-engine-unsettled.bin")
	if err != nil {
		t.Fatal(err)
	}
	e := testEngine(t, nil)
	if err := e.Restore(Key{Kind: StateEngine}, state); err != nil {
		t.Fatal(err)
	}
	old := testEvent(1_000_000, 1, -3600)
	old.Matches = []int{3}
	e.Observe(&old)
	if said := e.Take(nil); len(said) != 0 {
		t.Errorf("%+v", said)
	}
}

// TestRepeatedLongAfterwards: what a producer sends again when the minute is closed is no incident again, whatever time its record has, also after a restart.
func TestRepeatedLongAfterwards(t *testing.T) {
	e := testEngine(t, nil)
	bad, later := testEvent(1, 1, 30), testEvent(2, 2, 3600)
	bad.Matches, bad.Digest = []int{3}, 77
	e.Observe(&bad)
	e.Observe(&later)
	e.Take(nil)
	again := func(e *Engine, offset int64, recorded int64) {
		t.Helper()
		o := bad
		o.Offset, o.Recorded = offset, recorded
		e.Observe(&o)
		if said := e.Take(nil); len(said) != 0 {
			t.Errorf("recorded at %d: %+v", recorded-testStart, said)
		}
	}
	again(e, 3, bad.Recorded)
	again(e, 4, later.Recorded)
	restored := testEngine(t, nil)
	e.Changed(func(key Key, state []byte) {
		if err := restored.Restore(key, state); err != nil {
			t.Fatal(err)
		}
	})
	again(restored, 5, bad.Recorded)
	again(restored, 6, later.Recorded)
	other := bad
	other.Offset, other.Digest = 7, 78
	restored.Observe(&other)
	if final := closeAll(restored); len(final) == 0 || final[len(final)-1].EventCount != 2 {
		t.Errorf("another event of the same id is not seen: %+v", final)
	}
}

// TestManyIncidentsAtOnce: a rule that holds for thousands in one minute must not stall all else.
func TestManyIncidentsAtOnce(t *testing.T) {
	took := func(n int) time.Duration {
		e := testEngine(t, nil)
		first := testEvent(0, 9, -1200)
		first.Matches = []int{2}
		e.Observe(&first)
		e.Clock(0, testStart-int64(time.Minute/time.Microsecond)) // the day's budget has begun
		start := time.Now()
		for i := range n {
			o := testEvent(i+1, 1, 30)
			binary.BigEndian.PutUint64(o.Subject[:], uint64(i+1))
			o.Matches = []int{2}
			e.Observe(&o)
		}
		return time.Since(start)
	}
	// Eight times as many in more than thirty times the time would be quadratic; shared machines are noisy, so it may be tried again.
	var few, many time.Duration
	for range 5 {
		if few, many = took(1500), took(12_000); many < 30*few {
			return
		}
	}
	t.Errorf("%s for 1,500, %s for 12,000", few, many)
}
