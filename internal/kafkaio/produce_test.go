package kafkaio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestProduceGoesWhereJavaWouldSendIt(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		const partitions = 7
		topic := testkit.Topic(t, addr, partitions)
		c := newClient(t, addr, nil)
		// The hashes are those of Apache Kafka's own test (UtilsTest.testMurmur2).
		java := map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
			"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107}
		var messages []kafkaio.Message
		for key := range java {
			messages = append(messages, kafkaio.Message{Key: []byte(key), Value: []byte(key)})
		}
		if err := c.Produce(t.Context(), topic, messages); err != nil {
			t.Fatal(err)
		}
		want := map[int]int{}
		for _, hash := range java {
			want[int(hash&0x7fffffff)%partitions]++
		}
		got := map[int]int{}
		for p := range partitions {
			if _, end, err := c.Offsets(t.Context(), topic, p); err != nil {
				t.Fatal(err)
			} else if end > 0 {
				got[p] = int(end)
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("partitions got %v records, want %v", got, want)
		}
	})
}

func TestProduceKeepsOrderAndSplitsBatches(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		// 200 kB: less than Produce thinks, so batches must be halved.
		topic := testkit.Topic(t, addr, 3, "max.message.bytes", "200000")
		c := newClient(t, addr, nil)
		var messages []kafkaio.Message
		for i := range 5000 {
			messages = append(messages, kafkaio.Message{Key: fmt.Append(nil, "k", i%10), Value: fmt.Appendf(nil, "%d %s", i, bytes.Repeat([]byte{'x'}, 500))})
		}
		if err := c.Produce(t.Context(), topic, messages); err != nil {
			t.Fatal(err)
		}
		last := map[string]int{}
		total := 0
		for p := range 3 {
			_, end, err := c.Offsets(t.Context(), topic, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range collect(t, c, topic, p, 0, int(end)) {
				var n int
				fmt.Sscan(string(g.value[:5]), &n)
				if before, ok := last[string(g.key)]; ok && n <= before {
					t.Fatalf("key %s: %d came after %d", g.key, n, before)
				}
				last[string(g.key)] = n
				total++
			}
		}
		if total != len(messages) {
			t.Errorf("%d of %d records are there", total, len(messages))
		}
		err := c.Produce(t.Context(), topic, []kafkaio.Message{{Value: make([]byte, 300_000)}})
		if !errors.Is(err, kafka.MessageSizeTooLarge) {
			t.Errorf("a message that is too large: %v", err)
		}
	})
}

// Nothing that was acknowledged is lost, whatever the network does; some may be there twice.
func TestProduceOutlastsTheNetwork(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		proxy := testkit.NewProxy(t, addr)
		c := newClient(t, addr, func(cfg *kafkaio.Config, deps *kafkaio.Deps) {
			cfg.RequestTimeout = 500 * time.Millisecond
			deps.Dial = proxy.Dial
		})
		const n = 40
		for i := range n {
			switch i % 4 {
			case 1:
				proxy.Cut()
			case 2:
				proxy.BlackHole(testkit.ToClient)
				time.AfterFunc(200*time.Millisecond, func() { proxy.Cut(); proxy.Heal() })
			case 3:
				proxy.TruncateAfter(testkit.ToClient, 5)
				time.AfterFunc(50*time.Millisecond, proxy.Heal)
			}
			if err := c.Produce(t.Context(), topic, []kafkaio.Message{{Value: fmt.Append(nil, i)}}); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
		}
		proxy.Heal()
		seen := map[string]int{}
		_, end, err := c.Offsets(t.Context(), topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range collect(t, c, topic, 0, 0, int(end)) {
			seen[string(g.value)]++
		}
		if len(seen) != n {
			t.Errorf("%d of %d messages are there", len(seen), n)
		}
	})
}

func TestProduceFails(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		c := newClient(t, addr, nil)
		if err := c.Produce(t.Context(), "no-such-topic", []kafkaio.Message{{}}); !errors.Is(err, kafkaio.ErrNoTopic) {
			t.Errorf("to a topic that does not exist: %v", err)
		}
		if err := c.Produce(t.Context(), "no-such-topic", nil); err != nil {
			t.Errorf("nothing at all: %v", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		noLeaks(t)
		c := newClient(t, "127.0.0.1:1", nil)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := c.Produce(ctx, "topic", []kafkaio.Message{{}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestEnsureTopics(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		c := newClient(t, addr, nil)
		base := testkit.Topic(t, addr, 3)
		one, two := base+"-one", base+"-two"
		specs := []kafkaio.TopicSpec{
			{Name: base, Partitions: 9}, // exists, so it stays as it is
			{Name: one, Partitions: 2, ReplicationFactor: 1, Configs: map[string]string{"retention.ms": "3600000", "max.message.bytes": "2097152"}},
			{Name: two, Partitions: 1},
		}
		for range 2 {
			if err := c.EnsureTopics(t.Context(), specs); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { testkit.DeleteTopic(t, addr, one); testkit.DeleteTopic(t, addr, two) })
		for topic, want := range map[string]int{base: 3, one: 2, two: 1} {
			if n, err := c.Partitions(t.Context(), topic); err != nil || n != want {
				t.Errorf("%s has %d partitions, %v; want %d", topic, n, err, want)
			}
		}
		produce(t, addr, []*kgo.Record{{Topic: one, Value: make([]byte, 1<<20)}}, kgo.ProducerBatchMaxBytes(2<<20))
		if _, err := c.Partitions(t.Context(), "no-such-topic"); !errors.Is(err, kafkaio.ErrNoTopic) {
			t.Errorf("partitions of a topic that does not exist: %v", err)
		}
		if err := c.EnsureTopics(t.Context(), []kafkaio.TopicSpec{{Name: "x"}}); err == nil {
			t.Error("a topic without partitions was made")
		}
		if err := c.EnsureTopics(t.Context(), []kafkaio.TopicSpec{{Name: "a/b", Partitions: 1}}); err == nil {
			t.Error("a topic of an impossible name was made")
		}
		if id, err := c.ClusterID(t.Context()); err != nil || id == "" {
			t.Errorf("cluster id is %q, %v", id, err)
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
