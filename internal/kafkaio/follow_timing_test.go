package kafkaio_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// BenchmarkFollow measures the CPU time of this process for a record, with the broker in another one. For comparison it does the same with
// kafka-go's own Client.Fetch (without keeping the records' times, headers or keys).
func BenchmarkFollow(b *testing.B) {
	const preloaded = 400_000
	addr := testkit.EmbeddedKafka(b).Address
	for _, size := range []int{500, 1500} {
		topic := testkit.Topic(b, addr, 1)
		n := preloaded * 500 / size
		for at := 0; at < n; at += 20_000 {
			produce(b, addr, numbered(topic, 0, min(20_000, n-at), size))
		}
		b.Run(fmt.Sprintf("Follow/%dB", size), func(b *testing.B) {
			c := newClient(b, addr, nil)
			perRecord(b, n, func(records int) { drain(b, c, topic, records) })
		})
		b.Run(fmt.Sprintf("ClientFetch/%dB", size), func(b *testing.B) {
			transport := &kafka.Transport{}
			defer transport.CloseIdleConnections()
			client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
			perRecord(b, n, func(records int) { drainLibrary(b, client, topic, records) })
		})
	}
}

func perRecord(b *testing.B, most int, drain func(records int)) {
	drain(most / 10) // warm up
	b.ReportAllocs()
	b.ResetTimer()
	before, began := cpu(b), time.Now()
	for left := b.N; left > 0; left -= most {
		drain(min(left, most))
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(time.Microsecond)/float64(b.N), "cpu-µs/record")
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds()/1000, "k-records/s")
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func drain(b *testing.B, c *kafkaio.Client, topic string, n int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	out := make(chan *kafkaio.Batch, 1)
	failed := make(chan error, 1)
	go func() { failed <- c.Follow(ctx, topic, 0, 0, out) }()
	for sum := 0; n > 0; {
		select {
		case err := <-failed:
			b.Fatal(err)
		case batch := <-out:
			for i := range batch.Records {
				sum += len(batch.Records[i].Value)
			}
			n -= len(batch.Records)
			batch.Release()
		}
	}
	cancel()
	<-failed
}

func drainLibrary(b *testing.B, client *kafka.Client, topic string, n int) {
	buf := make([]byte, 4<<10)
	for offset := int64(0); n > 0; {
		res, err := client.Fetch(b.Context(), &kafka.FetchRequest{Topic: topic, Offset: offset, MinBytes: 1, MaxBytes: 4 << 20, MaxWait: 500 * time.Millisecond})
		if err != nil {
			b.Fatal(err)
		}
		for {
			r, err := res.Records.ReadRecord()
			if err != nil {
				break
			}
			if r.Offset < offset {
				continue
			}
			if _, err := r.Value.Read(buf[:r.Value.Len()]); err != nil {
				b.Fatal(err)
			}
			r.Value.Close()
			r.Key.Close()
			offset = r.Offset + 1
			n--
		}
	}
}
