package anomaly

import (
	"testing"

	"github.com/google/uuid"
)

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
