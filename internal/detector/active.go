package detector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	// publishEvery is how often incidents that have waited are looked for; new ones go out with the batch that showed them.
	publishEvery = time.Second
	// heartbeatSlack is how far behind a heartbeat a silent partition's clock stays: a record that Kafka took before the heartbeat may arrive a little later.
	heartbeatSlack = 30 * time.Second
	// commitEvery is how often the place of reading is committed for tools.
	commitEvery = 5 * time.Second
	// partitionsEvery is how often new partitions are looked for.
	partitionsEvery = 30 * time.Second
)

// detection is one turn of detecting. All of it belongs to the goroutine of run; readers and listeners hand it what they saw.
type detection struct {
	detector  *Detector
	engine    *anomaly.Engine
	publisher publisher
	snapshots *snapshots

	events   []int64 // next offset of each partition of the events' topic, as handed to the engine
	behind   []int64 // how many records were behind it then
	observed []bool  // whether the engine was given anything of the partition
	// alerts is, of each partition of the topic of alerts, up to where all that stands there stands in the log too; unsealed is what the last turn may have said
	// behind that and nowhere else.
	alerts    []int64
	unsealed  map[[16]byte]anomaly.Incident // by the event id of its entry
	unasked   bool                          // somebody may have been erased, and the vault could not say who
	held      []int64                       // the first offset of the partition that waits for the vault, and since when; -1: none does
	heldAt    []int64
	system    []int64
	taken     []anomaly.Incident
	unwatched uint64 // of the engine's stats, counted by now

	batches   chan *batch
	words     chan word
	destroyed chan []gdpr.SubjectID
	commits   chan map[int]int64
}

// detect restores what was learned, and detects until ctx ends or something fails that cannot be outlasted.
func (d *Detector) detect(ctx context.Context, turn *vault.Turn) error {
	cfg := d.cfg.Engine
	cfg.Rules = d.deps.Rules.ForEngine()
	engine, places, err := restore(ctx, d.deps.Vault, turn, func() (*anomaly.Engine, error) { return anomaly.New(cfg) }, func(err error) {
		d.metrics.refused.Inc()
		d.deps.Log.Error("a state cannot be read and is left out; whom it is about is learned anew", "error", err)
	})
	if err != nil {
		return err
	}
	known := newSaid()
	alerts, unsealed, err := d.recall(ctx, known, engine, places)
	if err != nil {
		return err
	}
	t := &detection{
		detector: d, engine: engine, publisher: publisher{d, known, turn}, alerts: alerts, unsealed: unsealed, snapshots: newSnapshots(d.deps.Vault, turn),
		batches: make(chan *batch), words: make(chan word), destroyed: make(chan []gdpr.SubjectID, 16),
		commits: make(chan map[int]int64),
	}
	if t.events, err = d.from(ctx, d.cfg.EventsTopic, places); err != nil {
		return err
	}
	if t.system, err = d.from(ctx, d.cfg.SystemTopic, places); err != nil {
		return err
	}
	t.behind, t.observed = make([]int64, len(t.events)), make([]bool, len(t.events))
	t.held, t.heldAt = slices.Repeat([]int64{-1}, len(t.events)), make([]int64, len(t.events))
	return t.run(ctx)
}

// run has partitions read, and gives what is seen to the engine, until ctx ends or the turn is lost.
func (t *detection) run(ctx context.Context) error {
	d := t.detector
	cache, err := vault.NewCache(d.deps.Vault, vault.CacheConfig{MaxSubjects: d.cfg.MaxSubjects, Destroyed: t.gone})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return cache.Run(ctx) }) // ends with ctx
	// What was ordered before is heard first: whatever happens then is weighed as it was the first time.
	if err := t.listen(ctx, group); err != nil {
		return err
	}
	if err := t.seal(ctx); err != nil {
		return err
	}
	t.tellPartitions()
	for number, from := range t.events {
		r := d.newReader(number, t.batches, cache)
		group.Go(func() error { return r.run(ctx, from) }) // ends with ctx
	}
	group.Go(func() error { return t.commit(ctx) }) // ends with ctx
	group.Go(func() error { return t.loop(ctx) })   // ends with ctx or by failing
	return group.Wait()
}

// gone is told by the cache who was destroyed.
func (t *detection) gone(ids []gdpr.SubjectID) {
	select {
	case t.destroyed <- ids:
	default:
		// The loop is behind by many of them. It asks about everybody instead, which comes to the same.
		for {
			select {
			case <-t.destroyed:
			default:
				t.destroyed <- nil
				return
			}
		}
	}
}

func (t *detection) tellPartitions() {
	numbers := make([]int32, len(t.events))
	for i := range numbers {
		numbers[i] = int32(i)
	}
	t.engine.Partitions(numbers)
}

// listen hears what stands on the system topic, and has it followed from then on.
func (t *detection) listen(ctx context.Context, group *errgroup.Group) error {
	d := t.detector
	end, err := ends(ctx, d.deps.Kafka, d.cfg.SystemTopic)
	if err != nil {
		return err
	}
	for number := range t.system {
		past := d.newListener(number, t.words)
		if err := t.remember(ctx, past); err != nil {
			return err
		}
		past.asked = time.Time{}
		heard := make(chan error, 1)
		go func() { // ends at the end of what is there, or with ctx, and is awaited
			heard <- past.run(ctx, t.system[number], func(next int64) bool { return next >= end[number] })
		}()
		for waiting := true; waiting; {
			select {
			case w := <-t.words:
				t.hear(ctx, w)
			case err := <-heard:
				if err != nil || ctx.Err() != nil {
					return ctx.Err()
				}
				waiting = false
			}
		}
		t.system[number] = max(t.system[number], end[number])
		from := t.system[number]
		group.Go(func() error { return past.run(ctx, from, func(int64) bool { return false }) }) // ends with ctx
	}
	return nil
}

func (t *detection) loop(ctx context.Context) error {
	publish, snapshot := time.NewTicker(publishEvery), time.NewTicker(t.detector.cfg.SnapshotEvery)
	commit, partitions := time.NewTicker(commitEvery), time.NewTicker(partitionsEvery)
	for _, ticker := range []*time.Ticker{publish, snapshot, commit, partitions} {
		defer ticker.Stop()
	}
	// The goroutine that stores a snapshot is awaited.
	defer func() {
		if t.snapshots.saving != nil {
			<-t.snapshots.done //nolint:errcheck // too late to be told to anybody
		}
	}()
	t.snapshot(ctx) // before anything is said: what stands on the topic of alerts by then stands in the log
	for {
		select {
		case b := <-t.batches:
			t.observe(b)
			if err := t.say(ctx); err != nil {
				return err
			}
		case w := <-t.words:
			t.hear(ctx, w)
		case ids := <-t.destroyed:
			if err := t.forget(ctx, ids); err != nil {
				return err
			}
		case <-publish.C:
			if err := t.say(ctx); err != nil {
				return err
			}
		case <-snapshot.C:
			t.publisher.said.trim()
			t.snapshot(ctx)
		case err := <-t.snapshots.done:
			warning, lost := t.snapshots.ended(err)
			if lost != nil {
				return lost
			}
			if warning != nil && ctx.Err() == nil {
				t.detector.deps.Log.Warn("what was learned could not be stored, it is stored with the next snapshot", "error", warning)
			}
		case <-commit.C:
			if t.unasked {
				if err := t.forget(ctx, nil); err != nil {
					return err
				}
			}
			select {
			case t.commits <- t.positions():
			default: // the last one is still on its way
			}
		case <-partitions.C:
			if n, err := t.detector.deps.Kafka.Partitions(ctx, t.detector.cfg.EventsTopic); err == nil && n != len(t.events) {
				return fmt.Errorf("%s has %d partitions now, not %d", t.detector.cfg.EventsTopic, n, len(t.events))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// snapshot begins to store what was learned. All that was said until now stands on both topics.
func (t *detection) snapshot(ctx context.Context) {
	if end, err := ends(ctx, t.detector.deps.Kafka, t.detector.cfg.AlertsTopic); err == nil {
		t.alerts = end // otherwise it is looked for in the log once more than needed
	}
	t.snapshots.begin(ctx, t.engine, t.places())
}

// observe gives a batch to the engine and back to its reader.
func (t *detection) observe(b *batch) {
	number := b.partition
	if b.waits && (t.held[number] < 0 || b.heldAt < t.heldAt[number]) {
		t.engine.Hold(number, b.heldAt) // before anything behind it moves the clock
	}
	t.engine.ObserveAll(b.observations)
	switch {
	case b.waits:
		t.engine.Hold(number, b.heldAt)
		t.held[number], t.heldAt[number] = b.heldFrom, b.heldAt
	case t.held[number] >= 0:
		t.held[number] = -1
		t.engine.Release(number)
	}
	t.observed[b.partition] = t.observed[b.partition] || len(b.observations) > 0
	t.events[b.partition], t.behind[b.partition] = b.next, b.behind
	t.detector.metrics.counted(b)
	b.free <- b
}

// say says what is new.
func (t *detection) say(ctx context.Context) error {
	t.taken = t.engine.Take(t.taken[:0])
	stats := t.engine.Stats()
	t.detector.metrics.subjects.Set(float64(stats.Subjects))
	t.detector.metrics.unwatched.Add(float64(stats.Unwatched - t.unwatched))
	t.unwatched = stats.Unwatched
	return t.publisher.publish(ctx, t.taken)
}

// hear takes a word of one of our own processes.
func (t *detection) hear(ctx context.Context, w word) {
	t.system[w.partition] = max(t.system[w.partition], w.next)
	switch {
	case !w.heartbeat.IsZero():
		t.beat(w.ends, w.heartbeat.Add(-heartbeatSlack))
	case w.revision != [16]byte{}:
		delete(t.unsealed, w.revision)
	case w.order != nil:
		if d, ok := t.publisher.said.directive(w.order); ok && t.publisher.said.first(w.id) {
			t.engine.Direct(d)
		}
	}
}

// beat moves the clocks of partitions in which nothing stands that was not read: so silence is noticed. ends are where they ended after the heartbeat.
func (t *detection) beat(ends []int64, at time.Time) {
	for number := range min(len(t.events), len(ends)) {
		if t.behind[number] == 0 && ends[number] == t.events[number] {
			t.engine.Clock(int32(number), at.UnixMicro())
		}
	}
}

// forget drops what was learned of people who are gone; nil: of those of whom the vault says so.
func (t *detection) forget(ctx context.Context, ids []gdpr.SubjectID) error {
	if ids == nil {
		t.unasked = false
		var all []gdpr.SubjectID
		t.engine.EachSubject(func(subject [16]byte) { all = append(all, gdpr.SubjectID(subject)) })
		there, err := t.detector.deps.Vault.Existing(ctx, all)
		if err != nil {
			// Nobody is forgotten on suspicion. It is asked again until it answers.
			t.unasked = true
			t.detector.deps.Log.Warn("the vault cannot say who was erased", "error", err)
			return nil
		}
		for _, id := range all {
			if !there[id] {
				ids = append(ids, id)
			}
		}
	}
	for _, id := range ids {
		t.engine.Forget(id)
		t.snapshots.forget(id)
		t.publisher.said.forget(id)
	}
	return nil
}
