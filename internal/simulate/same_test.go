package simulate

import (
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// topic is a stream as Kafka keeps it: partitions, each with its records by offset.
type topic struct {
	records [partitions][]anomaly.Observation
}

// newTopic stores a stream in order of arrival. Offsets and record times are Kafka's.
func newTopic(stream []anomaly.Observation) *topic {
	t := new(topic)
	for _, o := range stream {
		o.Offset = int64(len(t.records[o.Partition]))
		t.records[o.Partition] = append(t.records[o.Partition], o)
	}
	return t
}

func arrival(a, b anomaly.Observation) int {
	switch {
	case a.Recorded < b.Recorded:
		return -1
	case a.Recorded > b.Recorded:
		return 1
	}
	return 0
}

// reader reads a topic with an engine, which can be killed.
type reader struct {
	t      *testing.T
	cfg    anomaly.Config
	topic  *topic
	engine *anomaly.Engine
	next   [partitions]int64
	states map[anomaly.Key][]byte
	saved  [partitions]int64
	finals map[uuid.UUID]anomaly.Incident
	early  int
}

func newReader(t *testing.T, cfg anomaly.Config, tp *topic) *reader {
	r := &reader{t: t, cfg: cfg, topic: tp, states: map[anomaly.Key][]byte{}, finals: map[uuid.UUID]anomaly.Incident{}}
	r.start()
	return r
}

func (r *reader) start() {
	var err error
	if r.engine, err = anomaly.New(r.cfg); err != nil {
		r.t.Fatal(err)
	}
	for key, state := range r.states {
		if err := r.engine.Restore(key, state); err != nil {
			r.t.Fatal(err)
		}
	}
	r.engine.Partitions(Partitions())
	r.next = r.saved
}

// step reads the record that arrived first of those that are next; false: there is none.
func (r *reader) step() bool {
	at := -1
	for p := range r.topic.records {
		if int(r.next[p]) < len(r.topic.records[p]) && (at < 0 || r.topic.records[p][r.next[p]].Recorded < r.topic.records[at][r.next[at]].Recorded) {
			at = p
		}
	}
	if at < 0 {
		return false
	}
	r.engine.Observe(&r.topic.records[at][r.next[at]])
	r.next[at]++
	r.take()
	return true
}

func (r *reader) take() {
	for _, in := range r.engine.Take(nil) {
		if in.Status == anomaly.Final {
			in.Revision = 0
			r.finals[in.ID] = in
		} else {
			r.early++
		}
	}
}

// snapshot is what a process keeps.
func (r *reader) snapshot() {
	r.engine.Changed(func(key anomaly.Key, state []byte) {
		if state == nil {
			delete(r.states, key)
			return
		}
		r.states[key] = slices.Clone(state)
	})
	for p := range r.saved {
		r.saved[p] = r.engine.ResumeAt(int32(p))
	}
}

func (r *reader) end(at int64) map[uuid.UUID]anomaly.Incident {
	for _, p := range Partitions() {
		r.engine.Clock(p, at)
	}
	r.take()
	return r.finals
}

func sameFinals(t *testing.T, what string, want, got map[uuid.UUID]anomaly.Incident) {
	t.Helper()
	for _, id := range slices.SortedFunc(maps.Keys(want), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) }) {
		if !reflect.DeepEqual(want[id], got[id]) {
			t.Errorf("%s: incident\n%+v\nwant\n%+v", what, got[id], want[id])
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			t.Errorf("%s: incident of nobody: %+v", what, got[id])
		}
	}
}

// TestSameIncidents is the promise of detection: order, repetition and restarts change no final incident.
func TestSameIncidents(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Users, cfg.Days, cfg.Incidents, cfg.Quiet, cfg.Tenants = 60, 6, 14, 3, 2
	world, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var stream []anomaly.Observation
	for d := range world.Days() {
		stream = append(stream, world.Day(d)...)
	}
	ec := anomaly.DefaultConfig()
	ec.LearnDays, ec.Threshold = 2, 2
	end := world.start + int64(cfg.Days)*day + 3*hour
	rng := rand.New(rand.NewPCG(1, 2))

	inOrder := newReader(t, ec, newTopic(stream))
	for inOrder.step() {
	}
	want := inOrder.end(end)
	if len(want) < 5 {
		t.Fatalf("%d incidents, more expected", len(want))
	}
	t.Logf("%d events, %d final incidents", len(stream), len(want))

	shuffled := slices.Clone(stream)
	for i := range shuffled {
		shuffled[i].Recorded = shuffled[i].Time + rng.Int64N(5*minute)
	}
	slices.SortStableFunc(shuffled, arrival)
	late := newReader(t, ec, newTopic(shuffled))
	for late.step() {
	}
	sameFinals(t, "shuffled", want, late.end(end))

	doubled := slices.Clone(shuffled)
	for _, o := range stream {
		o.Recorded = o.Time + rng.Int64N(5*minute)
		doubled = append(doubled, o)
	}
	slices.SortStableFunc(doubled, arrival)
	twice := newReader(t, ec, newTopic(doubled))
	for twice.step() {
	}
	sameFinals(t, "doubled", want, twice.end(end))

	killed := newReader(t, ec, newTopic(doubled))
	kills := map[int]bool{}
	for range 10 {
		kills[rng.IntN(len(doubled))] = true
	}
	for i := 0; killed.step(); i++ {
		if i%5000 == 0 {
			killed.snapshot()
		}
		if kills[i] {
			killed.start()
		}
	}
	sameFinals(t, "killed", want, killed.end(end))
}
