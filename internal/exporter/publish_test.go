package exporter

import (
	"context"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Checkpoints reach the topic when they move, wait while Kafka is away, and come again when nothing moves.
func TestPublishes(t *testing.T) {
	r := newRig(t)
	broker := testkit.EmbeddedKafka(t).Address
	r.kafka = newKafka(t, broker)
	r.cfg.CheckpointTopic = testkit.Topic(t, broker, 1)
	r.cfg.SystemTopic = testkit.Topic(t, broker, 1)
	r.cfg.RepublishEvery = time.Second
	l := r.newLog("agent.events/0", 20)
	r.start()
	r.awaitSigned(l)
	l.add(30)
	last := r.awaitSigned(l)

	ctx, cancel := context.WithCancel(t.Context())
	batches, done := make(chan *kafkaio.Batch), make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		_ = r.kafka.Follow(ctx, r.cfg.CheckpointTopic, 0, 0, batches)
	}()
	defer func() { cancel(); <-done }()
	var sizes []uint64
	for again := 0; again < 3; {
		batch := <-batches
		for i := range batch.Records {
			point, _, err := chain.OpenCheckpoint(batch.Records[i].Value, r.known())
			if err != nil || point.Log != l.head.Log || string(batch.Records[i].Key) != l.head.Log {
				t.Fatalf("%+v, %v", point, err)
			}
			sizes = append(sizes, point.Size)
			if point.Size == last.Size {
				again++
			}
		}
		batch.Release()
	}
	for i := 1; i < len(sizes); i++ {
		if sizes[i] < sizes[i-1] {
			t.Errorf("sizes went back: %v", sizes)
		}
	}
}

// Of checkpoints that come faster than they can be sent the latest is sent, and what another exporter made takes the place of an older one.
func TestPublishedKeepsTheLatest(t *testing.T) {
	p := newPublished()
	point := func(size uint64) vault.Checkpoint { return vault.Checkpoint{Log: "agent.events/0", Size: size} }
	p.offer(point(1))
	p.offer(point(2))
	list := p.take()
	if len(list) != 1 || list[0].Size != 2 {
		t.Errorf("waiting: %+v", list)
	}
	p.offer(point(3))
	p.putBack(list) // could not be sent
	if list = p.take(); len(list) != 1 || list[0].Size != 3 {
		t.Errorf("an older one replaced a newer one: %+v", list)
	}
	p.putBack(list)
	if list = p.take(); len(list) != 1 || list[0].Size != 3 {
		t.Errorf("put back: %+v", list)
	}
	p.know(point(9))
	if list = p.take(); len(list) != 0 {
		t.Errorf("published what another exporter has published: %+v", list)
	}
	p.again()
	if list = p.take(); len(list) != 1 || list[0].Size != 9 {
		t.Errorf("again: %+v", list)
	}
}
