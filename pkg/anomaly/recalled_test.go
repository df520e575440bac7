package anomaly

import (
	"testing"
	"time"
)

// What was said provisionally before a restart is taken back if it is not found again, and not if it is.
func TestRecalled(t *testing.T) {
	provisional := func(e *Engine) Incident {
		t.Helper()
		o := testEvent(1, 1, 600)
		o.Matches = []int{2}
		e.Observe(&o)
		said := e.Take(nil)
		if len(said) != 1 || said[0].Status != Provisional {
			t.Fatalf("%+v", said)
		}
		return said[0]
	}
	in := provisional(testEngine(t, nil))
	after := func(again func(e *Engine)) (said []Incident) {
		t.Helper()
		e := testEngine(t, nil)
		e.Recall(&in)
		again(e)
		for _, one := range closeAll(e) {
			if one.ID == in.ID {
				said = append(said, one)
			}
		}
		if more := closeAll(e); len(more) != 0 || len(e.found.recalled) != 0 {
			t.Errorf("said once more: %+v", more)
		}
		return said
	}
	if said := after(func(*Engine) {}); len(said) != 1 || said[0].Status != Withdrawn || said[0].Title != in.Title {
		t.Errorf("not found again: %+v", said)
	}
	if said := after(func(e *Engine) { provisional(e) }); len(said) != 1 || said[0].Status != Final {
		t.Errorf("found again: %+v", said)
	}
	if said := after(func(e *Engine) { e.Forget(testSubject(1)) }); len(said) != 0 {
		t.Errorf("said of a person who is gone: %+v", said)
	}
	if said := after(func(e *Engine) { e.Clock(0, in.Last.Add(Lateness).UnixMicro()-1) }); len(said) != 1 {
		t.Errorf("%+v", said)
	}
}

// It is not taken back while its minutes are open, however far they were closed when it was recalled.
func TestRecalledWaits(t *testing.T) {
	e := testEngine(t, nil)
	at := time.UnixMicro(testStart).UTC()
	e.Clock(0, at.Add(time.Hour).UnixMicro())
	old, young := Incident{ID: [16]byte{1}, Status: Provisional, Last: at.Add(10 * time.Minute)}, Incident{ID: [16]byte{2}, Status: Provisional, Last: at.Add(70 * time.Minute)}
	final := Incident{ID: [16]byte{3}, Status: Final, Last: at}
	for _, in := range []*Incident{&old, &young, &final} {
		e.Recall(in)
	}
	f := func(clock time.Duration, want ...byte) {
		t.Helper()
		e.Clock(0, at.Add(clock).UnixMicro())
		said := e.Take(nil)
		if len(said) != len(want) {
			t.Fatalf("%+v", said)
		}
		for i := range want {
			if said[i].ID[0] != want[i] || said[i].Status != Withdrawn {
				t.Errorf("%+v", said[i])
			}
		}
	}
	f(60*time.Minute + time.Second)
	f(62*time.Minute, 1)
	f(70*time.Minute + Lateness - time.Second)
	f(71*time.Minute+Lateness, 2)
}

// An incident whose state was restored and that had been said to be graver in open minutes is said again as it is.
func TestRecalledStillOpen(t *testing.T) {
	e := testEngine(t, nil)
	states := map[Key][]byte{}
	first := testEvent(1, 1, 30)
	first.Matches = []int{3}
	e.Observe(&first)
	e.Clock(0, testStart+10*60e6)
	said := e.Take(nil)
	last := said[len(said)-1]
	if last.Status != Final {
		t.Fatalf("%+v", said)
	}
	keep(e, states)
	last.Status, last.Severity, last.Last = Provisional, Critical, last.Last.Add(11*time.Minute)
	again := testEngine(t, nil)
	for key, state := range states {
		if err := again.Restore(key, state); err != nil {
			t.Fatal(err)
		}
	}
	again.Recall(&last)
	finals := closeAll(again)
	if len(finals) != 1 || finals[0].ID != last.ID || finals[0].Status != Final || finals[0].Severity == Critical {
		t.Errorf("%+v", finals)
	}
}
