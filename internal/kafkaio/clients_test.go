package kafkaio_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// What librdkafka compresses is read.
func TestFollowKcatCodecs(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		kcat := testkit.Kcat(t)
		for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			t.Run(codec, func(t *testing.T) {
				topic := testkit.Topic(t, addr, 1)
				var lines strings.Builder
				const n = 5000
				for i := range n {
					fmt.Fprintf(&lines, "tenant/user-%d|{\"n\":%d,\"text\":\"%s\"}\n", i, i, strings.Repeat("lorem ipsum ", i%50))
				}
				cmd := exec.Command(kcat, "-P", "-b", addr, "-t", topic, "-K", "|", "-z", codec, "-H", "by=kcat", "-X", "linger.ms=100")
				cmd.Stdin = strings.NewReader(lines.String())
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("kcat: %v: %s", err, out)
				}
				all := collect(t, newClient(t, addr, nil), topic, 0, 0, n)
				for i, g := range all {
					if string(g.key) != fmt.Sprintf("tenant/user-%d", i) || !bytes.HasPrefix(g.value, fmt.Appendf(nil, "{\"n\":%d,", i)) || g.offset != int64(i) {
						t.Fatalf("record %d is %s %s at %d", i, g.key, g.value, g.offset)
					}
					if len(g.headers) != 1 || string(g.headers[0].Key) != "by" || string(g.headers[0].Value) != "kcat" {
						t.Fatalf("headers of record %d are %+v", i, g.headers)
					}
				}
			})
		}
	})
}

// So is what kafka-go and franz-go compress.
func TestFollowGoCodecs(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		for name, codec := range map[string]struct {
			franz kgo.CompressionCodec
			kafka kafka.Compression
		}{
			"none":   {kgo.NoCompression(), 0},
			"gzip":   {kgo.GzipCompression(), kafka.Gzip},
			"snappy": {kgo.SnappyCompression(), kafka.Snappy},
			"lz4":    {kgo.Lz4Compression(), kafka.Lz4},
			"zstd":   {kgo.ZstdCompression(), kafka.Zstd},
		} {
			t.Run(name, func(t *testing.T) {
				topic := testkit.Topic(t, addr, 1)
				const n = 3000
				produce(t, addr, numbered(topic, 0, n, 300), kgo.ProducerBatchCompression(codec.franz))
				sent := numbered(topic, 0, n, 300)
				produceByKafkaGo(t, addr, sent, codec.kafka)
				all := collect(t, newClient(t, addr, nil), topic, 0, 0, 2*n)
				for i, g := range all {
					if want := sent[i%n]; !bytes.Equal(g.key, want.Key) || !bytes.Equal(g.value, want.Value) || g.offset != int64(i) {
						t.Fatalf("record %d is %s at %d", i, g.key, g.offset)
					}
				}
			})
		}
	})
}

// produceByKafkaGo sends records of one topic to its partition 0, as one batch.
func produceByKafkaGo(t *testing.T, addr string, records []*kgo.Record, codec kafka.Compression) {
	t.Helper()
	batch := make([]kafka.Record, len(records))
	for i, r := range records {
		batch[i] = kafka.Record{Key: kafka.NewBytes(r.Key), Value: kafka.NewBytes(r.Value)}
	}
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
	res, err := client.Produce(t.Context(), &kafka.ProduceRequest{Topic: records[0].Topic, RequiredAcks: kafka.RequireAll,
		Compression: codec, Records: kafka.NewRecordReader(batch...)})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Records of aborted transactions are delivered like those of committed ones; markers are not, but move the offset on.
func TestFollowTransactions(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx := t.Context()
		for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit, kgo.TryAbort} {
			if err := client.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			for j := range 3 {
				r := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "%d.%d", i, j)}
				if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
					t.Fatal(err)
				}
			}
			if err := client.EndTransaction(ctx, end); err != nil {
				t.Fatal(err)
			}
		}
		// One that stays open must not hold anything up.
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("open")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewRegistry()
		c := newClient(t, addr, func(_ *kafkaio.Config, deps *kafkaio.Deps) { deps.Metrics = registry })
		all := collect(t, c, topic, 0, 0, 13)
		var values []string
		for _, g := range all {
			values = append(values, string(g.value))
		}
		if got, want := strings.Join(values, " "), "0.0 0.1 0.2 1.0 1.1 1.2 2.0 2.1 2.2 3.0 3.1 3.2 open"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if all[3].offset != 4 || all[12].offset != 16 {
			t.Errorf("offsets are %d and %d, want 4 and 16: markers take one each", all[3].offset, all[12].offset)
		}
		if n := counted(t, registry, "agentaudit_kafka_absent_offsets_total"); n != 4 {
			t.Errorf("%v offsets are counted as absent, want those of the 4 markers", n)
		}
		if n := counted(t, registry, "agentaudit_kafka_offset_holes_total"); n != 0 {
			t.Errorf("%v holes are counted: markers are none", n)
		}
		if _, ok, err := c.RecordAt(ctx, topic, 0, 3); ok || err != nil {
			t.Errorf("there is a record at the offset of a marker (%v)", err)
		}
		if err := client.EndTransaction(ctx, kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
		// A marker alone moves Next, so that lag goes to zero.
		out := make(chan *kafkaio.Batch)
		followCtx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		failed := make(chan error, 1)
		go func() { failed <- c.Follow(followCtx, topic, 0, 17, out) }()
		select {
		case b := <-out:
			if len(b.Records) != 0 || b.Next != 18 || b.HighWatermark != 18 {
				t.Errorf("after the marker: %d records, next %d, high watermark %d", len(b.Records), b.Next, b.HighWatermark)
			}
			b.Release()
		case err := <-failed:
			t.Fatal(err)
		}
		cancel()
		<-failed
	})
}

func TestFollowNullsAndHeaders(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		produce(t, addr, []*kgo.Record{
			{Topic: topic, Key: []byte("k")}, // a tombstone
			{Topic: topic, Key: []byte("k"), Value: []byte{}},
			{Topic: topic, Value: []byte("v"), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a"}, {Key: "empty", Value: []byte{}}}},
			{Topic: topic, Key: []byte{}, Value: []byte("v")},
		})
		c := newClient(t, addr, nil)
		f := func(all []got) {
			t.Helper()
			if all[0].value != nil || string(all[0].key) != "k" {
				t.Errorf("tombstone is %+v", all[0])
			}
			if all[1].value == nil || len(all[1].value) != 0 {
				t.Errorf("empty value is %+v", all[1])
			}
			if h := all[2].headers; all[2].key != nil || len(h) != 3 || string(h[0].Value) != "1" || h[1].Value != nil || len(h[2].Value) != 0 {
				t.Errorf("headers are %+v", all[2])
			}
			if all[3].key == nil {
				t.Errorf("empty key is nil")
			}
		}
		f(collect(t, c, topic, 0, 0, 4))
		var messages []kafkaio.Message
		var read []got
		for i := range int64(4) {
			r, ok, err := c.RecordAt(t.Context(), topic, 0, i)
			if !ok || err != nil || r.Offset != i {
				t.Fatalf("RecordAt(%d) = %+v, %v, %v", i, r, ok, err)
			}
			read = append(read, copied(&r))
			messages = append(messages, kafkaio.Message{Key: r.Key, Value: r.Value, Headers: r.Headers, Time: time.UnixMilli(r.TimeMillis)})
		}
		f(read)
		// Our own producer says the same.
		if err := c.Produce(t.Context(), topic, messages); err != nil {
			t.Fatal(err)
		}
		f(collect(t, c, topic, 0, 4, 4))
	})
}

// Records of 1 MiB arrive whole, also when they are larger than what one fetch asks for.
func TestFollowLargeRecords(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1, "max.message.bytes", "4194304")
		records := numbered(topic, 0, 12, 1<<20)
		produce(t, addr, records, kgo.ProducerBatchMaxBytes(3<<20), kgo.ProducerBatchCompression(kgo.NoCompression()))
		for _, fetchBytes := range []int{64 << 10, 4 << 20} {
			c := newClient(t, addr, func(cfg *kafkaio.Config, _ *kafkaio.Deps) { cfg.FetchMaxBytes = fetchBytes })
			for i, g := range collect(t, c, topic, 0, 0, len(records)) {
				if !bytes.Equal(g.value, records[i].Value) || g.cut != 0 {
					t.Fatalf("record %d has %d bytes, %d cut", i, len(g.value), g.cut)
				}
			}
		}
	})
}

// LogAppendTime: the record's time is the broker's.
func TestFollowLogAppendTime(t *testing.T) {
	noLeaks(t)
	addr := testkit.RealKafka(t)
	topic := testkit.Topic(t, addr, 1, "message.timestamp.type", "LogAppendTime")
	produce(t, addr, []*kgo.Record{{Topic: topic, Value: []byte("v"), Timestamp: time.UnixMilli(1)}})
	g := collect(t, newClient(t, addr, nil), topic, 0, 0, 1)[0]
	if age := time.Since(time.UnixMilli(g.millis)); age < -time.Minute || age > time.Minute {
		t.Errorf("the record's time is %d", g.millis)
	}
}
