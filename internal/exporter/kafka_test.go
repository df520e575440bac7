package exporter

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// useKafka gives the rig a broker and topics of its own.
func (r *rig) useKafka(broker string) {
	r.t.Helper()
	r.kafka = newKafka(r.t, broker)
	r.cfg.CheckpointTopic, r.cfg.SystemTopic = testkit.Topic(r.t, broker, 2), testkit.Topic(r.t, broker, 1)
	r.cfg.RepublishEvery, r.cfg.CheckPublished = time.Second, true
}

// anyBroker is Apache Kafka where there is one.
func anyBroker(t *testing.T) string {
	t.Helper()
	if os.Getenv("AGENTAUDIT_TEST_KAFKA") != "" {
		return testkit.RealKafka(t)
	}
	return testkit.EmbeddedKafka(t).Address
}

// topic returns what was published so far.
func (r *rig) topic() [][]byte {
	r.t.Helper()
	partitions, err := r.kafka.Partitions(context.Background(), r.cfg.CheckpointTopic)
	if err != nil {
		r.t.Fatal(err)
	}
	var all [][]byte
	for partition := range partitions {
		from, end, err := r.kafka.Offsets(context.Background(), r.cfg.CheckpointTopic, partition)
		if err != nil {
			r.t.Fatal(err)
		}
		if from == end {
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		batches, finished := make(chan *kafkaio.Batch), make(chan error, 1)
		go func() { finished <- r.kafka.Follow(ctx, r.cfg.CheckpointTopic, partition, from, batches) }() // ends with ctx
		for from < end {
			batch := <-batches
			for i := range batch.Records {
				all = append(all, slices.Clone(batch.Records[i].Value))
			}
			from = batch.Next
			batch.Release()
		}
		cancel()
		if err := <-finished; err != nil {
			r.t.Fatal(err)
		}
	}
	return all
}

func newKafka(t testing.TB, broker string) *kafkaio.Client {
	t.Helper()
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{broker}
	client, err := kafkaio.New(cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}
