package anomaly

import "testing"

// TestHold: minutes stay open for events that are still to come, however far the clock goes, and close when they have come.
func TestHold(t *testing.T) {
	e := testEngine(t, nil)
	e.Hold(0, testStart+30e6)
	later := testEvent(2, 2, 3600)
	e.Observe(&later)
	if e.closed >= testStart/microsPerMinute {
		t.Fatalf("%d is closed", e.closed)
	}
	held := testEvent(1, 1, 30)
	held.Matches = []int{3}
	e.Observe(&held)
	if said := e.Take(nil); len(said) != 1 || said[0].Status != Provisional {
		t.Fatalf("%+v", said)
	}
	e.Release(0)
	if e.closed < testStart/microsPerMinute {
		t.Errorf("closed through %d", e.closed)
	}
	said := e.Take(nil)
	if len(said) != 1 || said[0].Status != Final || e.Stats().Closed+e.Stats().Late != 0 {
		t.Errorf("%+v, %+v", said, e.Stats())
	}
}
