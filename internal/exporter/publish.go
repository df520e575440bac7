package exporter

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// publishWithin bounds one round, so that a Kafka that is away does not hold newer checkpoints back.
const publishWithin = 30 * time.Second

// published holds the latest checkpoint of each log for the topic of checkpoints. Those that come faster than Kafka takes them replace each other: a later
// one says all that an earlier one did.
type published struct {
	mu      sync.Mutex
	waiting map[string]vault.Checkpoint // by log
	latest  map[string]vault.Checkpoint
	wake    chan struct{} // holds one token
	moved   *changes      // of latest
}

func newPublished() *published {
	return &published{waiting: map[string]vault.Checkpoint{}, latest: map[string]vault.Checkpoint{}, wake: make(chan struct{}, 1), moved: newChanges()}
}

// offer has a checkpoint published soon. It never waits.
func (p *published) offer(c vault.Checkpoint) {
	p.mu.Lock()
	p.waiting[c.Log], p.latest[c.Log] = c, c
	p.mu.Unlock()
	p.moved.announce()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// know has a checkpoint that another exporter made published again with the others: an older one of ours would say less.
func (p *published) know(c vault.Checkpoint) {
	p.mu.Lock()
	p.latest[c.Log] = c
	p.mu.Unlock()
	p.moved.announce()
}

// of returns the latest checkpoint of a log that is known.
func (p *published) of(log string) (vault.Checkpoint, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.latest[log]
	return c, ok
}

// all returns the latest checkpoint of each log that is known.
func (p *published) all() []vault.Checkpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.latest))
}

// take empties the waiting ones.
func (p *published) take() []vault.Checkpoint {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := slices.Collect(maps.Values(p.waiting))
	clear(p.waiting)
	return list
}

// again has all checkpoints published that are known, also those that have not moved: silence would be no sign of life.
func (p *published) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.waiting, p.latest)
}

// putBack has a checkpoint published again unless there is a later one.
func (p *published) putBack(list []vault.Checkpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		if newer, ok := p.waiting[c.Log]; !ok || newer.Size < c.Size {
			p.waiting[c.Log] = c
		}
	}
}

// publish sends checkpoints to Kafka, at once when they are new and again every RepublishEvery, until ctx ends.
func (e *Exporter) publish(ctx context.Context) error {
	tick := time.NewTicker(e.cfg.RepublishEvery)
	defer tick.Stop()
	wait := newBackoff()
	for {
		pause := time.Duration(0)
		if list := e.published.take(); len(list) > 0 {
			if err := e.publishAll(ctx, list); err != nil && ctx.Err() == nil {
				e.published.putBack(list)
				e.failing("checkpoints cannot be published, trying again", err, "topic", e.cfg.CheckpointTopic)
				pause = wait.NextBackOff()
			} else {
				wait.Reset()
			}
		}
		if pause > 0 {
			if sleep(ctx, pause) != nil {
				return nil
			}
			continue
		}
		select {
		case <-e.published.wake:
		case <-tick.C:
			e.published.again()
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *Exporter) publishAll(ctx context.Context, list []vault.Checkpoint) error {
	ctx, cancel := context.WithTimeout(ctx, publishWithin)
	defer cancel()
	messages := make([]kafkaio.Message, len(list))
	for i, c := range list {
		messages[i] = kafkaio.Message{Key: []byte(c.Log), Value: []byte(c.Note)}
	}
	if err := e.outbox.Produce(ctx, e.cfg.CheckpointTopic, messages); err != nil {
		return err
	}
	e.metrics.published.Add(float64(len(list)))
	return nil
}
