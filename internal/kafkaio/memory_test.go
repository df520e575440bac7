package kafkaio_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// However long the backlog and however slow the reader, memory stays within what the configuration says: here (2 + 1) × 1 MiB a partition, twice
// that where batches are compressed.
func TestFollowMemoryIsBounded(t *testing.T) {
	addr := testkit.EmbeddedKafka(t).Address
	for name, codec := range map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "zstd": kgo.ZstdCompression()} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			const partitions, records, size = 4, 20_000, 2000 // 160 MB
			topic := testkit.Topic(t, addr, partitions)
			for p := range partitions {
				for at := 0; at < records; at += 5000 {
					produce(t, addr, numbered(topic, p, 5000, size), kgo.ProducerBatchCompression(codec))
				}
			}
			c := newClient(t, addr, func(cfg *kafkaio.Config, _ *kafkaio.Deps) { cfg.FetchMaxBytes, cfg.FetchDepth = 1<<20, 2 })
			runtime.GC()
			runtime.GC() // what produce had pooled
			var before runtime.MemStats
			runtime.ReadMemStats(&before)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out := make(chan *kafkaio.Batch)
			failed := make(chan error, partitions)
			for p := range partitions {
				go func() { failed <- c.Follow(ctx, topic, p, 0, out) }()
			}
			var most uint64
			for total, batches := 0, 0; total < partitions*records; batches++ {
				var b *kafkaio.Batch
				select {
				case b = <-out:
				case err := <-failed:
					t.Fatal(err)
				}
				total += len(b.Records)
				if batches%20 == 0 {
					runtime.GC()
					var now runtime.MemStats
					runtime.ReadMemStats(&now)
					most = max(most, now.HeapAlloc)
				}
				b.Release()
			}
			cancel()
			for range partitions {
				<-failed
			}
			grew := (int64(most) - int64(before.HeapAlloc)) >> 20
			t.Logf("%d MiB", grew)
			if grew > partitions*(2+1)*2+16 {
				t.Errorf("the heap grew by %d MiB", grew)
			}
		})
	}
}

// Batches that are not released stop their partition, and nothing else.
func TestFollowDeliversNoMoreThanDepthUnreleased(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		produce(t, addr, numbered(topic, 0, 5000, 1000))
		c := newClient(t, addr, func(cfg *kafkaio.Config, _ *kafkaio.Deps) { cfg.FetchMaxBytes, cfg.FetchDepth = 64<<10, 3 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out := make(chan *kafkaio.Batch, 100)
		failed := make(chan error, 1)
		var delivered atomic.Int64
		go func() { failed <- c.Follow(ctx, topic, 0, 0, out) }()
		testkit.Eventually(t, 10*time.Second, func() bool { return len(out) == 3 }, "three batches are out")
		held := []*kafkaio.Batch{<-out, <-out, <-out}
		first := string(held[0].Records[0].Value)
		select {
		case b := <-out:
			t.Fatalf("a fourth batch came, up to %d", b.Next)
		case <-time.After(300 * time.Millisecond):
		}
		if string(held[0].Records[0].Value) != first {
			t.Error("a record changed before its batch was released")
		}
		for _, b := range held {
			delivered.Add(int64(len(b.Records)))
			b.Release()
			b.Release() // harmless
		}
		for delivered.Load() < 5000 {
			b := <-out
			delivered.Add(int64(len(b.Records)))
			b.Release()
		}
		cancel()
		if err := <-failed; err != nil {
			t.Error(err)
		}
	})
}

// Releasing a batch twice, or late, must not take the memory of the batch that has it now: its records would be gone while the offset moved on.
func TestReleasingTwiceHarmsNoOtherBatch(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		const n = 3000
		produce(t, addr, numbered(topic, 0, n, 1000))
		c := newClient(t, addr, func(cfg *kafkaio.Config, _ *kafkaio.Deps) { cfg.FetchMaxBytes, cfg.FetchDepth = 64<<10, 1 })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out := make(chan *kafkaio.Batch, 100)
		failed := make(chan error, 1)
		go func() { failed <- c.Follow(ctx, topic, 0, 0, out) }()
		receive := func() *kafkaio.Batch {
			select {
			case b := <-out:
				return b
			case err := <-failed:
				t.Fatalf("Follow returned %v", err)
				return nil
			}
		}
		var old []*kafkaio.Batch
		for next := int64(0); next < n; {
			b := receive() // with a depth of one it has the memory of all before it
			for _, o := range old {
				o.Release()
			}
			if len(out) > 0 {
				t.Fatal("another batch came while one was held")
			}
			for i := range b.Records {
				if r := &b.Records[i]; r.Offset != next || !strings.HasPrefix(string(r.Value), fmt.Sprintf("0/%d ", next)) {
					t.Fatalf("record %d is %d, %.20q", next, r.Offset, r.Value)
				}
				next++
			}
			if b.Next != next {
				t.Fatalf("the batch ends at %d and says %d", next, b.Next)
			}
			b.Release()
			old = append(old, b)
		}
		cancel()
		if err := <-failed; err != nil {
			t.Error(err)
		}
	})
}
