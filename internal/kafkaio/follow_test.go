package kafkaio_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// newClient makes a client that logs to the test.
func newClient(t testing.TB, addr string, change func(*kafkaio.Config, *kafkaio.Deps)) *kafkaio.Client {
	t.Helper()
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{addr}
	deps := kafkaio.Deps{Logger: testLogger(t)}
	if change != nil {
		change(&cfg, &deps)
	}
	c, err := kafkaio.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// noLeaks is called first, so that it looks last. Servers that were restarted meanwhile stop later than it looks.
func noLeaks(t testing.TB) {
	before := goleak.IgnoreCurrent()
	servers := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/agentaudit/agentaudit/internal/testkit/services.launch.func1"),
		goleak.IgnoreAnyFunction("github.com/agentaudit/agentaudit/internal/child.(*Proc).Start.func1"),
	}
	t.Cleanup(func() {
		if err := goleak.Find(append(servers, before)...); err != nil {
			t.Error(err)
		}
	})
}

// got is a record in memory of the test's own.
type got struct {
	offset     int64
	millis     int64
	key, value []byte
	headers    []kafkaio.Header
	cut        int64
}

// collect follows a partition until it has n records or more, and checks the order of everything on the way.
func collect(t testing.TB, c *kafkaio.Client, topic string, partition int, from int64, n int) []got {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	out := make(chan *kafkaio.Batch)
	failed := make(chan error, 1)
	go func() { failed <- c.Follow(ctx, topic, partition, from, out) }()
	var all []got
	next := from
	for len(all) < n {
		select {
		case err := <-failed:
			t.Fatalf("Follow returned %v after %d of %d records", err, len(all), n)
		case b := <-out:
			for i := range b.Records {
				r := &b.Records[i]
				if r.Offset < next {
					t.Fatalf("offset %d came after %d was promised", r.Offset, next)
				}
				next = r.Offset + 1
				all = append(all, copied(r))
			}
			if b.Next < next || b.HighWatermark < b.Next {
				t.Fatalf("batch says next %d and high watermark %d after offset %d", b.Next, b.HighWatermark, next-1)
			}
			next = b.Next
			b.Release()
		}
	}
	cancel()
	if err := <-failed; err != nil {
		t.Fatalf("Follow returned %v when its context ended", err)
	}
	return all
}

func copied(r *kafkaio.Record) got {
	g := got{offset: r.Offset, millis: r.TimeMillis, key: bytes.Clone(r.Key), value: bytes.Clone(r.Value), cut: r.CutBytes}
	for _, h := range r.Headers {
		g.headers = append(g.headers, kafkaio.Header{Key: bytes.Clone(h.Key), Value: bytes.Clone(h.Value)})
	}
	return g
}

// produce sends records with franz-go.
func produce(t testing.TB, addr string, records []*kgo.Record, opts ...kgo.Opt) {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(1 << 20), kgo.RequestRetries(20)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatalf("produce: %v", err)
	}
}

// numbered makes n records of about size bytes for one partition, each saying its number.
func numbered(topic string, partition, n, size int) []*kgo.Record {
	records := make([]*kgo.Record, n)
	filler := make([]byte, size)
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range filler {
		filler[i] = 'a' + byte(r.IntN(26))
	}
	for i := range records {
		value := fmt.Appendf(nil, "%d/%d ", partition, i)
		records[i] = &kgo.Record{Topic: topic, Partition: int32(partition), Key: fmt.Appendf(nil, "key-%d", i),
			Value: append(value, filler[:max(0, size-len(value))]...)}
	}
	return records
}

func TestFollowDeliversEachRecordOnce(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 2)
		records := numbered(topic, 1, 20_000, 500)
		produce(t, addr, records)
		c := newClient(t, addr, func(cfg *kafkaio.Config, _ *kafkaio.Deps) { cfg.FetchMaxBytes = 256 << 10 })
		for _, from := range []int64{0, 1, 777, 19_999} {
			all := collect(t, c, topic, 1, from, len(records)-int(from))
			if len(all) != len(records)-int(from) {
				t.Fatalf("from %d: got %d records", from, len(all))
			}
			for i, g := range all {
				want := records[int(from)+i]
				if g.offset != from+int64(i) || !bytes.Equal(g.key, want.Key) || !bytes.Equal(g.value, want.Value) || g.millis != want.Timestamp.UnixMilli() {
					t.Fatalf("from %d: record %d is %d %s, want %s", from, i, g.offset, g.key, want.Key)
				}
			}
		}
	})
}
