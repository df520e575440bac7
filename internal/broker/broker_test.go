package broker_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/broker/brokertest"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

const topic = "agent.events"

func start(t *testing.T) *brokertest.Proc {
	t.Helper()
	return brokertest.Start(t, brokertest.Options{Topics: []broker.Topic{{Name: topic, Partitions: 1}}})
}

// produce sends n records, one batch each, and returns the offset of the last.
func produce(t *testing.T, address string, n int) int64 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	last := int64(-1)
	for i := range n {
		r, err := client.ProduceSync(ctx, &kgo.Record{Value: fmt.Appendf(nil, "record %d", i)}).First()
		if err != nil {
			t.Fatal(err)
		}
		last = r.Offset
	}
	return last
}

// flushed waits until the end of the partition is noted on disk.
func flushed(t *testing.T, p *brokertest.Proc, end int64) {
	t.Helper()
	testkit.Eventually(t, 30*time.Second, func() bool {
		b, err := os.ReadFile(filepath.Join(p.Dir, "store", "watermarks.json"))
		return err == nil && strings.Contains(string(b), fmt.Sprintf(`"end":%d,`, end))
	}, "the end is noted on disk")
}

func partition(p *brokertest.Proc) string {
	return filepath.Join(p.Dir, "store", "partitions", topic+"-0")
}

func TestRestartKeepsRecordsAndAddress(t *testing.T) {
	p := start(t)
	address := p.Address
	if last := produce(t, p.Address, 10); last != 9 {
		t.Fatalf("last offset %d", last)
	}
	for i, end := range []func(){func() {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}, p.Kill} {
		end()
		if err := p.Restart(); err != nil {
			t.Fatal(err)
		}
		if p.Address != address {
			t.Errorf("address moved from %s to %s", address, p.Address)
		}
		if last := produce(t, p.Address, 1); last != int64(10+i) {
			t.Errorf("offset after restart: %d", last)
		}
	}
}

// A second process on the directory is refused, with words that help.
func TestDirectoryIsLocked(t *testing.T) {
	p := start(t)
	_, err := brokertest.Launch(brokertest.Options{Dir: p.Dir}, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", p.Pid())) {
		t.Fatalf("second broker: %v", err)
	}
	produce(t, p.Address, 1)
}

// Damage to records that were on disk refuses the start; the remedy in the message works, and no
// offset is given out again.
func TestDamagedSegment(t *testing.T) {
	p := start(t)
	produce(t, p.Address, 10)
	flushed(t, p, 10)
	p.Kill()
	flip(t, filepath.Join(partition(p), "0.dat"), 300)
	err := p.Restart()
	if err == nil || !strings.Contains(err.Error(), "agent.events/0") || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("start on a damaged segment: %v", err)
	}
	if err := os.Rename(partition(p), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if last := produce(t, p.Address, 1); last != 10 {
		t.Errorf("offset after the remedy: %d, want 10", last)
	}
}

func TestMissingSegment(t *testing.T) {
	p := start(t)
	produce(t, p.Address, 3)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(partition(p), "0.dat"), 0); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(); err == nil || !strings.Contains(err.Error(), "ended at 3 before") {
		t.Fatalf("start on a truncated segment: %v", err)
	}
}

// The rest of a batch that was being written when the process died is cut.
func TestTornBatch(t *testing.T) {
	p := start(t)
	produce(t, p.Address, 5)
	flushed(t, p, 5)
	p.Kill()
	path := filepath.Join(partition(p), "0.dat")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, b[:70]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Log(), "cut a batch that was not written whole") {
		t.Error("the log does not say that a batch was cut")
	}
	if last := produce(t, p.Address, 1); last != 5 {
		t.Errorf("offset after a cut batch: %d", last)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 0x40
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A client that deletes every record leaves a partition that goes on where it was.
func TestEmptiedPartitionKeepsItsOffsets(t *testing.T) {
	p := start(t)
	produce(t, p.Address, 4)
	deleteAll(t, p.Address, 4)
	flushed(t, p, 4)
	for i, end := range []func(){p.Kill, func() {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}, p.Kill} {
		end()
		if err := p.Restart(); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			continue // twice without a record in between
		}
		if last := produce(t, p.Address, 1); last != int64(4+(i+1)/2) {
			t.Errorf("restart %d: offset %d", i, last)
		}
		if i == 0 {
			deleteAll(t, p.Address, 5)
			flushed(t, p, 5)
		}
	}
}

func deleteAll(t *testing.T, address string, end int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Offset = end
	top := kmsg.NewDeleteRecordsRequestTopic()
	top.Topic, top.Partitions = topic, append(top.Partitions, part)
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Topics = append(req.Topics, top)
	res, err := req.RequestWith(context.Background(), client)
	if err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(err, res)
	}
}

// What is no Kafka request is refused, and the broker lives on.
func TestStrangers(t *testing.T) {
	p := start(t)
	request := func(size uint32, kind uint16) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		b = binary.BigEndian.AppendUint16(b, kind)
		return append(b, make([]byte, 32)...)
	}
	for name, bytes := range map[string][]byte{
		"HTTP":           []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"TLS":            {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03},
		"unknown kind":   request(36, 30000),
		"negative kind":  request(36, 0xffff),
		"huge":           request(1<<31, 3),
		"too small":      request(2, 3),
		"garbage inside": append(request(36, 0), 0xff, 0xff, 0xff),
		"cut":            request(36, 3)[:20],
	} {
		c, err := net.Dial("tcp", p.Address)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := c.Write(bytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.Close()
	}
	produce(t, p.Address, 1)
	select {
	case <-p.Done():
		t.Fatal("the broker has ended")
	default:
	}
}

// A batch that cannot be stored is not acknowledged, and neither is its repetition before it is
// stored: the broker ends, and stores it after a restart.
func TestWriteFails(t *testing.T) {
	p := start(t)
	obstacle := filepath.Join(partition(p), "0.dat") // a directory where the segment would be
	if err := os.MkdirAll(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Address), kgo.DefaultProduceTopic(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	type outcome struct {
		offset int64
		err    error
	}
	produced := make(chan outcome, 1)
	client.Produce(context.Background(), &kgo.Record{Value: []byte("x")}, func(r *kgo.Record, err error) { produced <- outcome{r.Offset, err} })
	<-p.Done()
	select {
	case o := <-produced:
		t.Fatalf("the producer was answered %+v", o)
	default:
	}
	if !strings.Contains(p.Log(), "records cannot be stored") {
		t.Errorf("log: %s", p.Log())
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	if o := <-produced; o.err != nil || o.offset != 0 {
		t.Errorf("after the restart: %+v", o)
	}
	if info, err := os.Stat(obstacle); err != nil || info.Size() == 0 {
		t.Errorf("the record is not in its segment: %v", err)
	}
}

// A committed transaction survives kill -9, an open one is aborted, and the partition goes on.
func TestTransactions(t *testing.T) {
	p := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	transact := func(value string, end kgo.TransactionEndTry) {
		t.Helper()
		client, err := kgo.NewClient(kgo.SeedBrokers(p.Address), kgo.DefaultProduceTopic(topic), kgo.TransactionalID("tx"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(ctx, &kgo.Record{Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if end == kgo.TryCommit {
			if err := client.EndTransaction(ctx, end); err != nil {
				t.Fatal(err)
			}
		}
	}
	transact("committed", kgo.TryCommit)
	transact("open", kgo.TryAbort)
	p.Kill()
	if err := p.Restart(); err != nil {
		t.Fatal(err)
	}
	produce(t, p.Address, 1)
	client, err := kgo.NewClient(kgo.SeedBrokers(p.Address), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	for len(got) < 2 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if got[0] != "committed" || got[1] != "record 0" {
		t.Errorf("read %q", got)
	}
}
