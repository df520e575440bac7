package kafkaio_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// A compacted topic lacks offsets, whole batches and the ends of batches. What is there is delivered, in order, and the holes are counted.
func TestFollowCompactedTopic(t *testing.T) {
	t.Parallel()
	addr := testkit.RealKafka(t)
	topic := testkit.Topic(t, addr, 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "100", "max.compaction.lag.ms", "100")
	const rounds, keys = 30, 10
	var last int64
	for i := range rounds {
		var records []*kgo.Record
		for k := range keys {
			records = append(records, &kgo.Record{Topic: topic, Key: fmt.Append(nil, k), Value: fmt.Appendf(nil, "%d of %d", i, k)})
		}
		produce(t, addr, records, kgo.DisableIdempotentWrite()) // of idempotent producers the last batch is kept, empty
		last = records[keys-1].Offset
	}
	registry := prometheus.NewRegistry()
	c := newClient(t, addr, func(_ *kafkaio.Config, deps *kafkaio.Deps) { deps.Metrics = registry })
	// Segments roll when something is written, and are cleaned after that.
	testkit.Eventually(t, 60*time.Second, func() bool {
		r := &kgo.Record{Topic: topic, Key: []byte("tick")}
		produce(t, addr, []*kgo.Record{r}, kgo.DisableIdempotentWrite())
		last = r.Offset
		_, there, err := c.RecordAt(t.Context(), topic, 0, 15)
		return err == nil && !there
	}, "the topic is compacted")
	f := follow(t, c, topic, 0)
	seen := map[string]string{}
	var offset int64 = -1
	n := 0
	for f.next <= last {
		select {
		case b := <-f.out:
			for i := range b.Records {
				if b.Records[i].Offset <= offset {
					t.Fatalf("offset %d came after %d", b.Records[i].Offset, offset)
				}
				offset = b.Records[i].Offset
				seen[string(b.Records[i].Key)] = string(b.Records[i].Value)
				n++
			}
			f.next = b.Next
			b.Release()
		case err := <-f.failed:
			t.Fatal(err)
		}
	}
	f.end()
	for k := range keys {
		if got, want := seen[fmt.Sprint(k)], fmt.Sprintf("%d of %d", rounds-1, k); got != want {
			t.Errorf("key %d has %q, want %q", k, got, want)
		}
	}
	holes := counted(t, registry, "agentaudit_kafka_offset_holes_total")
	absent := counted(t, registry, "agentaudit_kafka_absent_offsets_total")
	t.Logf("%d records of %d are left, %v holes, %v absent", n, last+1, holes, absent)
	if n >= rounds*keys || holes == 0 {
		t.Error("nothing is missing, so nothing was tested")
	}
	if absent != float64(f.next-int64(n)) {
		t.Errorf("%v offsets are counted as absent, but up to %d only %d records came", absent, f.next, n)
	}
}

// counted returns the sum of a counter.
func counted(t *testing.T, registry *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
