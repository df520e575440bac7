package anomaly

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// Looking ahead is to save time and nothing else: not with users that are new, forgotten or repeated, and not where a minute closes in the middle.
func TestObserveAllIsObserve(t *testing.T) {
	fresh := func() *Engine {
		e := testEngine(t, func(cfg *Config) { cfg.MaxSubjects = 60 }) // some find no room
		e.Partitions([]int32{0, 1, 2, 3})
		return e
	}
	one, all := fresh(), fresh()
	rng := rand.New(rand.NewPCG(5, 5))
	at := int64(1_767_225_600_000_000)
	var said, saidAll []Incident
	for range 400 {
		group := make([]Observation, 1+rng.IntN(3*aheadOf))
		for i := range group {
			timingEvent(&group[i], rng, 80, at)
			group[i].Offset = at
			if i > 0 && rng.IntN(10) == 0 {
				group[i] = group[i-1]
			}
			if rng.IntN(50) == 0 {
				group[i].Matches = []int{1 + rng.IntN(4)}
			}
			at += rng.Int64N(3_000_000)
		}
		for i := range group {
			one.Observe(&group[i])
		}
		all.ObserveAll(group)
		if rng.IntN(20) == 0 {
			one.Forget(group[0].Subject)
			all.Forget(group[0].Subject)
		}
		said, saidAll = one.Take(said), all.Take(saidAll)
	}
	if one.Stats() != all.Stats() {
		t.Errorf("stats %+v, want %+v", all.Stats(), one.Stats())
	}
	if len(said) == 0 || !reflect.DeepEqual(said, saidAll) {
		t.Errorf("%d incidents, want %d", len(saidAll), len(said))
	}
	if n := one.Stats(); n.Repeated == 0 || n.Unwatched == 0 {
		t.Errorf("nothing was repeated, or all had room: %+v", n)
	}
}
