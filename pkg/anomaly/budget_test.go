package anomaly

import (
	"encoding/binary"
	"testing"
)

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
