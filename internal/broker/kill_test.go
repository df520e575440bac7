package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/broker/brokertest"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

const killTopic = "kill"

// acknowledged are the records that the broker said it has.
type acknowledged struct {
	mu      sync.Mutex
	records map[int32]map[int64]string // by partition and offset
	n       int
}

func (a *acknowledged) add(t *testing.T, r *kgo.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.records[r.Partition] == nil {
		a.records[r.Partition] = map[int64]string{}
	}
	if old, ok := a.records[r.Partition][r.Offset]; ok {
		t.Errorf("offset %d of partition %d was given out twice: %.20s and %.20s", r.Offset, r.Partition, old, r.Value)
	}
	a.records[r.Partition][r.Offset] = string(r.Value)
	a.n++
}

// No acknowledged record is lost by kill -9 under load, and none moves: each stays at the offset that
// the producer was told.
func TestKillUnderLoad(t *testing.T) {
	const partitions, kills, producers = 4, 10, 4
	p := brokertest.Start(t, brokertest.Options{Topics: []broker.Topic{{Name: killTopic, Partitions: partitions}}})
	acked := acknowledged{records: map[int32]map[int64]string{}}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	for i := range producers {
		wg.Go(func() { produceUntil(ctx, t, p.Address, i, &acked) })
	}
	peak := 0
	for kill := range kills {
		before := acked.count()
		testkit.Eventually(t, 30*time.Second, func() bool { return acked.count() > before+10_000 }, "ten thousand records more are acknowledged")
		peak = max(peak, peakKB(t, p.Pid()))
		p.Kill()
		if err := p.Restart(); err != nil {
			t.Fatalf("restart %d: %v", kill+1, err)
		}
	}
	before := acked.count()
	testkit.Eventually(t, 30*time.Second, func() bool { return acked.count() > before }, "records are acknowledged again")
	stop()
	wg.Wait()
	verifyAcked(t, p.Address, &acked)
	t.Logf("%d acknowledged records in %d partitions survived %d kills; peak memory of the broker %d MB", acked.n, partitions, kills, peak/1024)
}

func (a *acknowledged) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// produceUntil sends batches, with a new client after each failure, as a crashed producer would.
func produceUntil(ctx context.Context, t *testing.T, address string, producer int, acked *acknowledged) {
	value := bytes.Repeat([]byte("x"), 400)
	for serial := 0; ctx.Err() == nil; {
		client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(killTopic),
			kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.RecordDeliveryTimeout(2*time.Second), kgo.RetryTimeout(2*time.Second))
		if err != nil {
			t.Error(err)
			return
		}
		for ctx.Err() == nil {
			batch := make([]*kgo.Record, 50)
			for i := range batch {
				serial++
				batch[i] = &kgo.Record{Key: fmt.Append(nil, serial), Value: fmt.Appendf(nil, "%d/%d/%s", producer, serial, value)}
			}
			failed := false
			for _, res := range client.ProduceSync(ctx, batch...) {
				if res.Err != nil {
					failed = true
					continue
				}
				acked.add(t, res.Record)
			}
			if failed {
				break
			}
		}
		client.Close()
	}
}

func verifyAcked(t *testing.T, address string, acked *acknowledged) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(killTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	next := map[int32]int64{}
	left := acked.n
	deadline, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for left > 0 {
		fetches := client.PollFetches(deadline)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d acknowledged records are missing: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				t.Errorf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
			if want, ok := acked.records[r.Partition][r.Offset]; ok {
				left--
				if want != string(r.Value) {
					t.Errorf("partition %d offset %d: %.20s was acknowledged, %.20s is there", r.Partition, r.Offset, want, r.Value)
				}
			}
		})
	}
}

// peakKB is the most memory that a process has had.
func peakKB(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	kb := 0
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscan(rest, &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}
