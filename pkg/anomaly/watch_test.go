package anomaly

import (
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/events"
)

const testDay = int64(24 * time.Hour / time.Microsecond)

// rhythm is an agent that three users work with from 9 to 16 h, each a little, for some days; on the last day they do so at 2 h.
func rhythm(days int) []Observation {
	rng := rand.New(rand.NewPCG(7, 7))
	start := testStart - testStart%testDay // midnight
	var all []Observation
	for d := range days {
		for m := range int64(minutesOfDay) {
			hour := m / minutesOfHour
			night := d == days-1 && hour == 2
			if (hour < 9 || hour >= 16 || m%2 == 1) && !night {
				continue
			}
			for u := range byte(3) {
				for range rng.IntN(4) {
					o := testEvent(len(all), u, 0)
					o.Time = start + int64(d)*testDay + m*microsPerMinute + int64(rng.IntN(60_000_000))
					o.Recorded, o.CostMicroUSD, o.Outcome = o.Time, rng.Uint64N(1000), events.Success
					all = append(all, o)
				}
			}
		}
	}
	return all
}

// play reads a stream in the order of its records, with a restart from the last snapshot before each of the given events, and returns the final incidents.
func play(t *testing.T, all []Observation, change func(*Config), kills ...int) map[uuid.UUID]Incident {
	t.Helper()
	slices.SortStableFunc(all, func(a, b Observation) int { return int(a.Recorded - b.Recorded) })
	finals := map[uuid.UUID]Incident{}
	states := map[Key][]byte{}
	e := testEngine(t, change)
	e.Partitions([]int32{0})
	from := 0
	for i := 0; i < len(all); i++ {
		if i%1000 == 999 {
			keep(e, states)
			from = int(e.ResumeAt(0))
		}
		if slices.Contains(kills, i) {
			kills = slices.DeleteFunc(kills, func(k int) bool { return k == i })
			e = testEngine(t, change)
			for key, state := range states {
				if err := e.Restore(key, state); err != nil {
					t.Fatal(err)
				}
			}
			e.Partitions([]int32{0})
			i = from
		}
		all[i].Offset = int64(i)
		e.Observe(&all[i])
		for _, in := range e.Take(nil) {
			if in.Status == Final {
				in.Revision = 0
				finals[in.ID] = in
			}
		}
	}
	e.Clock(0, all[len(all)-1].Recorded+testDay)
	for _, in := range e.Take(nil) {
		if in.Status == Final {
			in.Revision = 0
			finals[in.ID] = in
		}
	}
	return finals
}

func hasSignal(finals map[uuid.UUID]Incident, of EntityKind, name string) *Incident {
	for _, in := range finals {
		for _, s := range in.Signals {
			if in.Kind == of && s.Name == name {
				return &in
			}
		}
	}
	return nil
}

// An agent that works by night as it does by day is noticed by its series and by nothing else, and the same however the events come.
func TestSeriesOfAgents(t *testing.T) {
	all := rhythm(10)
	want := play(t, slices.Clone(all), nil)
	in := hasSignal(want, EntityAgent, "series.calls")
	if in == nil {
		t.Fatalf("the night is not noticed: %+v", want)
	}
	if in.First.Hour() != 2 || in.EventCount == 0 || len(in.Events) == 0 || in.Signals[0].Expected == "" || in.Signals[0].Since.Minute()%intervalMinutes != 0 {
		t.Errorf("%+v", in)
	}
	if none := play(t, slices.Clone(all), func(c *Config) { c.MaxFollowed = 0 }); hasSignal(none, EntityAgent, "series.calls") != nil || len(none) != 0 {
		t.Errorf("without series: %+v", none)
	}
	if got := play(t, slices.Clone(all), nil, 100, 1100, 3000, len(all)-300, len(all)-20); !reflect.DeepEqual(got, want) {
		t.Errorf("with restarts: %+v, want %+v", got, want)
	}
	rng := rand.New(rand.NewPCG(8, 8))
	late := slices.Clone(all)
	for i := range late {
		late[i].Recorded += rng.Int64N(lateMicros)
	}
	late = append(late, late[len(late)/2:]...)
	for i := len(all); i < len(late); i++ {
		late[i].Recorded = min(late[i].Time+lateMicros-1, late[i].Recorded+rng.Int64N(lateMicros))
	}
	if got := play(t, late, nil, 2000, len(late)-200); !reflect.DeepEqual(got, want) {
		t.Errorf("shuffled and repeated: %+v, want %+v", got, want)
	}
}

// There is room for the most active ones only, whatever the order in which they were seen.
func TestRoomForSeries(t *testing.T) {
	followed := func(backwards bool) []string {
		e := testEngine(t, func(c *Config) { c.MaxFollowed = 2 })
		e.Partitions([]int32{0})
		start := testStart - testStart%testDay
		n := 0
		for m := range int64(minutesOfDay) {
			for k := range 5 {
				a := k
				if backwards {
					a = 4 - k
				}
				if m/intervalMinutes >= int64(20*(a+1)) { // agent 4 is active in 100 intervals
					continue
				}
				o := testEvent(n, 1, 0)
				o.Time = start + m*microsPerMinute
				o.Recorded, o.Agent = o.Time, "agent-"+string(rune('0'+a))
				e.Observe(&o)
				n++
			}
		}
		e.Clock(0, start+testDay+2*lateMicros)
		var names []string
		for key, i := range e.index {
			if key.kind == kindAgent && e.entities.at(i).watch != 0 {
				names = append(names, e.names.list[e.entities.at(i).name])
			}
		}
		slices.Sort(names)
		if s := e.Stats(); s.Followed != len(names)+2 { // the user and the tenant
			t.Errorf("%d followed, %d agents of them", s.Followed, len(names))
		}
		// Thirty quiet days later the user and the agents have none any more.
		o := testEvent(n, 2, 0)
		o.Time, o.Agent = start+31*testDay, ""
		o.Recorded = o.Time
		e.Observe(&o)
		e.Clock(0, start+32*testDay+2*lateMicros)
		if s := e.Stats(); s.Followed != 0 {
			t.Errorf("%d are followed after thirty days", s.Followed)
		}
		return names
	}
	want := []string{"agent-3", "agent-4"}
	if got := followed(false); !slices.Equal(got, want) {
		t.Errorf("%v are followed, %v expected", got, want)
	}
	if got := followed(true); !slices.Equal(got, want) {
		t.Errorf("%v are followed, %v expected", got, want)
	}
}

// A person's series go with the person, and the person's events out of the agents' intervals.
func TestForgetSeries(t *testing.T) {
	e := testEngine(t, nil)
	e.Partitions([]int32{0})
	start := testStart - testStart%testDay
	n := 0
	for m := range int64(minutesOfDay) + 2 {
		for u := range byte(2) {
			o := testEvent(n, 1+u, 0)
			o.Time = start + m*microsPerMinute + int64(u)
			o.Recorded = o.Time
			e.Observe(&o)
			n++
		}
	}
	e.Clock(0, start+testDay+2*microsPerMinute+lateMicros)
	if s := e.Stats(); s.Followed != 4 {
		t.Fatalf("%d are followed, two users, an agent and a tenant expected", s.Followed)
	}
	states := map[Key][]byte{}
	keep(e, states)
	gone := testSubject(1)
	if !mentions(states, gone[:]) {
		t.Fatal("the states do not hold what is to be forgotten")
	}
	e.Forget(gone)
	keep(e, states)
	if mentions(states, gone[:]) {
		t.Error("a state still holds the person")
	}
	if s := e.Stats(); s.Followed != 3 {
		t.Errorf("%d are followed, one less expected", s.Followed)
	}
	e.Clock(0, start+2*testDay)
}

func TestPeople(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, n := range []int{0, 1, 2, 10, 100, 600} {
		var p, q people
		for i := range n {
			var subject [16]byte
			binary.LittleEndian.PutUint64(subject[:], rng.Uint64())
			binary.LittleEndian.PutUint64(subject[8:], rng.Uint64())
			p.add(&subject)
			p.add(&subject)
			if i%2 == 0 {
				q.add(&subject)
			}
		}
		q.join(&p)
		if got := q.count(); q != p || float64(got) < 0.9*float64(n) || float64(got) > 1.1*float64(n) {
			t.Errorf("%d people counted as %d", n, got)
		}
	}
	var full people
	for i := range full {
		full[i] = ^uint64(0)
	}
	if got := full.count(); got < 2000 || got > 4000 {
		t.Errorf("all bits: %d", got)
	}
}
