package kafkaio_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/services"
)

// proxied makes a client that reaches the broker through a proxy, impatient so that tests are quick.
func proxied(t *testing.T, addr string) (*kafkaio.Client, *testkit.Proxy, *prometheus.Registry) {
	proxy := testkit.NewProxy(t, addr)
	registry := prometheus.NewRegistry()
	c := newClient(t, addr, func(cfg *kafkaio.Config, deps *kafkaio.Deps) {
		cfg.FetchMaxBytes = 128 << 10
		cfg.FetchMaxWait = 100 * time.Millisecond
		cfg.RequestTimeout = 500 * time.Millisecond
		cfg.DialTimeout = 500 * time.Millisecond
		deps.Dial = proxy.Dial
		deps.Metrics = registry
	})
	return c, proxy, registry
}

// Whatever happens to the connection, each record comes once and in order.
func TestFollowOutlastsTheNetwork(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, 1)
		const n = 8000
		produce(t, addr, numbered(topic, 0, n, 400)) // about 3.3 MB, 25 fetches
		f := func(name string, harm func(p *testkit.Proxy)) {
			t.Run(name, func(t *testing.T) {
				noLeaks(t)
				c, proxy, _ := proxied(t, addr)
				f := follow(t, c, topic, 0)
				for i := range int64(4) {
					f.until((i + 1) * 1000)
					harm(proxy)
					f.until((i+1)*1000 + 500) // while it lasts, or after
					proxy.Heal()
				}
				f.until(n)
				f.end()
			})
		}
		f("cut", func(p *testkit.Proxy) { p.Cut() })
		f("truncated", func(p *testkit.Proxy) {
			p.TruncateAfter(testkit.ToClient, 30_000)
			time.AfterFunc(300*time.Millisecond, p.Heal)
		})
		f("request truncated", func(p *testkit.Proxy) {
			p.TruncateAfter(testkit.ToServer, 10)
			time.AfterFunc(300*time.Millisecond, p.Heal)
		})
		f("answers vanish", func(p *testkit.Proxy) {
			p.BlackHole(testkit.ToClient)
			time.AfterFunc(time.Second, func() { p.Cut(); p.Heal() })
		})
		f("requests vanish", func(p *testkit.Proxy) {
			p.BlackHole(testkit.ToServer)
			time.AfterFunc(time.Second, p.Heal)
		})
		f("refused", func(p *testkit.Proxy) { p.Refuse(); time.AfterFunc(300*time.Millisecond, p.Heal) })
		f("slow", func(p *testkit.Proxy) { p.Delay(testkit.ToClient, 2*time.Millisecond) })
		f("corrupt", func(p *testkit.Proxy) {
			var left atomic.Int32
			left.Store(2)
			p.Corrupt(testkit.ToClient, func(chunk []byte) {
				if len(chunk) > 10_000 && left.Add(-1) >= 0 {
					chunk[len(chunk)/2] ^= 0x40
				}
			})
		})
	})
}

// Damage that stays stops the partition, after a bounded number of tries and with the offset.
func TestFollowStopsAtACorruptBatch(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		produce(t, addr, numbered(topic, 0, 100, 400))
		c, proxy, registry := proxied(t, addr)
		f := follow(t, c, topic, 0)
		f.until(100)
		proxy.Corrupt(testkit.ToClient, func(chunk []byte) {
			if len(chunk) > 10_000 {
				chunk[len(chunk)/2] ^= 0x40
			}
		})
		produce(t, addr, numbered(topic, 0, 50, 400), kgo.ProducerBatchCompression(kgo.NoCompression()))
		var corrupt *kafkaio.CorruptError
		err := f.err()
		if !errors.Is(err, kafkaio.ErrCorrupt) || !errors.As(err, &corrupt) || corrupt.Offset != 100 || corrupt.Topic != topic {
			t.Fatalf("got %v", err)
		}
		proxy.Heal()
		want := `
# HELP agentaudit_kafka_fetch_failures_total Fetches that failed and are tried again.
# TYPE agentaudit_kafka_fetch_failures_total counter
agentaudit_kafka_fetch_failures_total{reason="corrupt",topic="` + topic + `"} 4
# HELP agentaudit_kafka_fetched_records_total Records delivered.
# TYPE agentaudit_kafka_fetched_records_total counter
agentaudit_kafka_fetched_records_total{topic="` + topic + `"} 100
# HELP agentaudit_kafka_following_partitions Partitions being followed whose last fetch succeeded.
# TYPE agentaudit_kafka_following_partitions gauge
agentaudit_kafka_following_partitions{topic="` + topic + `"} 0
`
		if err := testutil.GatherAndCompare(registry, reader(want), "agentaudit_kafka_fetch_failures_total", "agentaudit_kafka_fetched_records_total",
			"agentaudit_kafka_following_partitions"); err != nil {
			t.Error(err)
		}
		// The log itself is whole.
		again := follow(t, c, topic, 100)
		again.until(150)
		again.end()
	})
}

// kill -9 of the broker, at any time.
func TestFollowOutlastsABrokersDeath(t *testing.T) {
	f := func(t *testing.T, addr string, rounds int, kill func(), restart func() error) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		c := newClient(t, addr, nil)
		produce(t, addr, numbered(topic, 0, 1000, 200))
		f := follow(t, c, topic, 0)
		for i := range rounds {
			f.until(int64(1000 * (i + 1)))
			kill()
			if err := c.Ping(t.Context()); err == nil {
				t.Error("Ping of a dead broker succeeded")
			}
			if err := restart(); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			var messages []kafkaio.Message
			for _, r := range numbered(topic, 0, 1000, 200) {
				messages = append(messages, kafkaio.Message{Value: r.Value})
			}
			if err := c.Produce(ctx, topic, messages); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
		f.until(int64(1000 * (rounds + 1)))
		f.end()
	}
	t.Run("embedded", func(t *testing.T) {
		broker := testkit.EmbeddedKafka(t)
		f(t, broker.Address, 5, broker.Kill, broker.Restart)
	})
	t.Run("real", func(t *testing.T) {
		testkit.RealKafka(t) // one of our own is started, but only where there is one
		kafka := ownKafka(t)
		f(t, kafka.Addr, 1, kafka.Kill, func() error { return kafka.Start(t.Context()) })
	})
}

// ownKafka starts an Apache Kafka that the test may kill.
func ownKafka(t *testing.T) *services.Kafka {
	t.Helper()
	jars, err := services.FindJars(testkit.Root(t) + "/internal/testkit/kafka/pom.xml")
	if err != nil {
		testkit.Missing(t, err.Error())
	}
	kafka, err := services.StartKafka(t.Context(), jars, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kafka.Stop(); err != nil {
			t.Error(err)
		}
	})
	return kafka
}
