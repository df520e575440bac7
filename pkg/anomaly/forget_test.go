package anomaly

import (
	"bytes"
	"testing"

	"github.com/google/uuid"
)

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
