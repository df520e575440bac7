package kafkaio

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// Why the works of a generation are told to end.
var (
	errGenerationEnded = errors.New("the group's generation ended")
	errSlept           = errors.New("this process did not run for longer than its session lasts")
	errPartitions      = errors.New("the number of partitions changed")
)

// generation runs the works of one generation and returns after they have. Returning ends the generation.
func (g *Group) generation(ctx, genCtx context.Context, gen *kafka.Generation, work func(context.Context, Assignment) error) {
	workCtx, end := context.WithCancelCause(ctx)
	defer end(nil)
	unwatch := context.AfterFunc(genCtx, func() { end(errGenerationEnded) })
	defer unwatch()

	var parts []Assignment
	for _, topic := range g.cfg.Topics {
		for _, p := range gen.Assignments[topic] {
			a := Assignment{Topic: topic, Partition: p.ID, Generation: int(gen.ID), position: new(atomic.Int64)}
			a.position.Store(-1)
			parts = append(parts, a)
		}
	}
	g.sticky.own(gen.ID, parts)
	g.assigned.Store(int64(len(parts)))
	metrics := g.client.metrics
	metrics.generation.WithLabelValues(g.cfg.ID).Inc()
	metrics.assigned.WithLabelValues(g.cfg.ID).Set(float64(len(parts)))
	parked := metrics.parked.WithLabelValues(g.cfg.ID)
	parked.Set(0)
	g.log.Info("partitions assigned", "generation", gen.ID, "partitions", len(parts))

	committed := map[*atomic.Int64]int64{} // owned by commitLoop until it has returned
	var works, keepers sync.WaitGroup
	for _, a := range parts {
		works.Go(func() { // ends with the work, which must end with workCtx
			err := work(workCtx, a)
			if workCtx.Err() != nil {
				return
			}
			parked.Inc()
			if err != nil {
				g.log.Error("partition stopped until the next generation", "topic", a.Topic, "partition", a.Partition, "error", err)
			}
		})
	}
	keepers.Go(func() { guardSleep(workCtx, g.cfg.SessionTimeout, func() { end(errSlept) }) }) // all three end with workCtx
	assigned := g.leader.take()
	keepers.Go(func() { g.watchPartitions(workCtx, assigned, func() { end(errPartitions) }) })
	keepers.Go(func() { g.commitLoop(workCtx, gen, parts, committed) })
	<-workCtx.Done()
	works.Wait()
	keepers.Wait()
	g.commit(gen, parts, committed)
	g.assigned.Store(0)
	metrics.assigned.WithLabelValues(g.cfg.ID).Set(0)
	parked.Set(0)

	cause := context.Cause(workCtx)
	g.log.Info("generation ended", "generation", gen.ID, "why", cause)
	if errors.Is(cause, errSlept) || errors.Is(cause, errPartitions) {
		return // which makes this member join anew
	}
	<-genCtx.Done() // while the group is being left, returning would make kafka-go join once more
}

// guardSleep calls slept when this process did not run for longer than a session lasts (stopped, swapped out, the machine asleep). Heartbeats
// find out too, but only when the next one is due and answered. Both clocks are watched: the monotonic one stands still
// while a machine sleeps, the other may be set.
func guardSleep(ctx context.Context, session time.Duration, slept func()) {
	tick := time.NewTicker(session / 6)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(last) > session || now.Round(0).Sub(last.Round(0)) > session {
			slept()
			return
		}
		last = now
	}
}

// watchPartitions calls changed when a topic has another number of partitions than were assigned. Only the group's leader knows what that was;
// others (assigned is nil) compare with what they see first.
func (g *Group) watchPartitions(ctx context.Context, assigned map[string]int, changed func()) {
	for sleep(ctx, g.cfg.WatchPartitionsEvery) {
		now, err := g.client.counts(ctx, g.cfg.Topics...)
		if err != nil {
			continue // Follow complains about the cluster already
		}
		if assigned == nil {
			assigned = now
		}
		// A topic that is gone keeps its partitions until it is back: what then is in it, the works find out.
		for topic, n := range now {
			if n != assigned[topic] {
				changed()
				return
			}
		}
	}
}

func (g *Group) commitLoop(ctx context.Context, gen *kafka.Generation, parts []Assignment, committed map[*atomic.Int64]int64) {
	for sleep(ctx, g.cfg.CommitEvery) {
		g.commit(gen, parts, committed)
	}
}

// commit sends positions that differ from those committed.
func (g *Group) commit(gen *kafka.Generation, parts []Assignment, committed map[*atomic.Int64]int64) {
	offsets := map[string]map[int]int64{}
	sent := map[*atomic.Int64]int64{}
	for _, a := range parts {
		next := a.position.Load()
		if before, ok := committed[a.position]; next < 0 || ok && before == next {
			continue
		}
		if offsets[a.Topic] == nil {
			offsets[a.Topic] = map[int]int64{}
		}
		offsets[a.Topic][a.Partition] = next
		sent[a.position] = next
	}
	if len(offsets) == 0 {
		return
	}
	result := "ok"
	if err := gen.CommitOffsets(offsets); err != nil {
		result = "failed" // nothing depends on it
		g.log.Debug("committing offsets failed", "error", err)
	} else {
		maps.Copy(committed, sent)
	}
	g.client.metrics.commits.WithLabelValues(g.cfg.ID, result).Inc()
}
