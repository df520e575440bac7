package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Two processes share a topic, one comes and goes; each record is in its log once.
func TestEveryRecordBecomesOneEntry(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, broker string) {
		const partitions, rounds, each = 3, 6, 200
		r := newRig(t, broker, partitions)
		_, stopFirst := r.start()
		for round := range rounds {
			var values [][]byte
			for i := range each {
				switch v := event(i); i % 50 {
				case 7:
					values = append(values, v[:len(v)/2])
				case 9:
					values = append(values, []byte{})
				default:
					values = append(values, v)
				}
			}
			r.produce(values...)
			if round == 2 {
				r.start()
			}
			if round == 4 {
				stopFirst()
			}
		}
		r.awaitSealed(partitions)
		kinds := map[chain.Kind]int{}
		for p := range partitions {
			c := r.check(chain.LogName(r.cfg.EventsTopic, p, 0))
			for kind, n := range c.kinds {
				kinds[kind] += n
			}
			for i, offset := range c.offsets {
				if offset != int64(i) {
					t.Fatalf("partition %d: entry %d holds offset %d", p, i, offset)
				}
			}
		}
		if kinds[chain.KindRejected] != rounds*8 || kinds[chain.KindEvent] != rounds*(each-8) || kinds[chain.KindControl] != partitions {
			t.Errorf("kinds %v", kinds)
		}
	})
}

func TestGoroutinesEndWithRun(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	before := goleak.IgnoreCurrent()
	_, stop := r.start()
	r.produce(event(1))
	r.awaitSealed(1)
	stop()
	// Idle connections belong to the clients, which outlive the ingester.
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"),
		goleak.IgnoreAnyFunction("github.com/segmentio/kafka-go.(*conn).run"), goleak.IgnoreAnyFunction("github.com/segmentio/kafka-go.(*connPool).discover"),
		goleak.IgnoreAnyFunction("github.com/segmentio/kafka-go.(*connGroup).grabConnOrConnect"))
}

// A gap stops the partition, loudly, until the operator reopens it; the others go on.
func TestGapStopsThePartitionUntilReopened(t *testing.T) {
	broker := testkit.EmbeddedKafka(t).Address
	r := newRig(t, broker, 2)
	_, stop := r.start()
	r.produce(someEvents(40)...)
	r.awaitSealed(2)
	stop()
	r.produce(someEvents(40)...)
	_, end, err := r.kafka.Offsets(t.Context(), r.cfg.EventsTopic, 0)
	if err != nil {
		t.Fatal(err)
	}
	testkit.DeleteRecords(t, broker, r.cfg.EventsTopic, 0, end-1)

	in, _ := r.start()
	testkit.Eventually(t, 30*time.Second, func() bool { return in.stops.check(t.Context()) != nil }, "partition stopped")
	if err := in.stops.check(t.Context()); !strings.Contains(err.Error(), r.cfg.EventsTopic+"/0 (gap)") {
		t.Errorf("readiness says %v", err)
	}
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	before := r.check(log)
	next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: log, Reason: "retention was too short", From: -1})
	if err != nil {
		t.Fatal(err)
	}
	if next.FirstOffset != end-1 || next.PredecessorSize != before.head.Size+1 {
		t.Errorf("successor %+v after %+v", next, before.head)
	}
	r.awaitSealed(2)
	if c := r.check(log); !c.head.Closed {
		t.Error("the old log is not closed")
	}
	successor := r.check(next.Log)
	if !slices.Equal(successor.offsets, []int64{end - 1}) {
		t.Errorf("successor holds offsets %v", successor.offsets)
	}
	testkit.Eventually(t, 10*time.Second, func() bool { return in.stops.check(t.Context()) == nil }, "partition runs again")
	if _, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: log, From: -1}); err == nil || !strings.Contains(err.Error(), next.Log) {
		t.Errorf("reopened twice: %v", err)
	}
}

// A topic that was made anew is told by its records, even when the offsets fit.
func TestRecreatedTopicIsNoticed(t *testing.T) {
	broker := testkit.EmbeddedKafka(t).Address
	r := newRig(t, broker, 1)
	_, stop := r.start()
	r.produce(someEvents(10)...)
	r.awaitSealed(1)
	stop()
	testkit.DeleteTopic(t, broker, r.cfg.EventsTopic)
	testkit.MakeTopic(t, broker, r.cfg.EventsTopic, 1)
	r.produce(someEvents(20)...)
	in, _ := r.start()
	testkit.Eventually(t, 30*time.Second, func() bool { return in.stops.check(t.Context()) != nil }, "partition stopped")
	if err := in.stops.check(t.Context()); !strings.Contains(err.Error(), "recreated") {
		t.Errorf("readiness says %v", err)
	}
	next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: chain.LogName(r.cfg.EventsTopic, 0, 0), From: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.awaitSealed(1)
	if c := r.check(next.Log); len(c.offsets) != 20 || c.offsets[0] != 0 {
		t.Errorf("successor holds offsets %v", c.offsets)
	}
}

// A log that does not hold its checkpoint is not extended, and its successor names the checkpoint.
func TestRollbackStopsTheLog(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	_, stop := r.start()
	r.produce(someEvents(10)...)
	r.awaitSealed(1)
	stop()
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	head := r.check(log).head
	lost := vault.Checkpoint{Log: log, Size: head.Size + 3, Head: chain.Hash{7}, At: time.Now()}
	if swapped, err := r.vault.CompareAndSwapCheckpoint(t.Context(), log, 0, lost); err != nil || !swapped {
		t.Fatal(swapped, err)
	}
	r.produce(someEvents(5)...)
	in, _ := r.start()
	testkit.Eventually(t, 30*time.Second, func() bool { return in.stops.check(t.Context()) != nil }, "partition stopped")
	if err := in.stops.check(t.Context()); !strings.Contains(err.Error(), "rollback") {
		t.Errorf("readiness says %v", err)
	}
	if now := r.check(log).head; now != head {
		t.Error("the log was extended")
	}
	next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: log, Reason: "restored a backup", From: -1})
	if err != nil {
		t.Fatal(err)
	}
	if next.PredecessorSize != lost.Size || next.PredecessorHead != lost.Head || next.FirstOffset != head.Next {
		t.Errorf("successor %+v", next)
	}
	if now := r.check(log).head; !now.Closed || now.Size != head.Size+1 {
		t.Error("the old log is not closed: its writers could go on")
	}
	r.awaitSealed(1)
	r.check(next.Log)
}

// Reopening a log that contradicts its checkpoint stops an ingest that has not noticed
// yet, because its session began before: no record may be sealed in both logs.
func TestReopenStopsAWriterThatKnowsNothing(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	r.start()
	r.produce(someEvents(20)...)
	r.awaitSealed(1)
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	foreign := vault.Checkpoint{Log: log, Size: 5, Head: chain.Hash{7}, At: time.Now()}
	if swapped, err := r.vault.CompareAndSwapCheckpoint(t.Context(), log, 0, foreign); err != nil || !swapped {
		t.Fatal(swapped, err)
	}
	next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: log, Reason: "rewritten", From: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.produce(someEvents(30)...)
	r.awaitSealed(1)
	offsets := append(r.check(log).offsets, r.check(next.Log).offsets...)
	for i, offset := range offsets {
		if offset != int64(i) {
			t.Fatalf("offset %d stands where %d is expected, of %d", offset, i, len(offsets))
		}
	}
	if len(offsets) != 50 {
		t.Errorf("%d records sealed, want 50", len(offsets))
	}
}

// A log that has no entry yet is closed like any other.
func TestReopenOfAnEmptyLog(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: log, From: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.start()
	r.produce(someEvents(3)...)
	r.awaitSealed(1)
	if c := r.check(log); !c.head.Closed || c.head.Size != 2 {
		t.Errorf("old log %+v", c.head)
	}
	if c := r.check(next.Log); len(c.offsets) != 3 {
		t.Errorf("successor holds offsets %v", c.offsets)
	}
}

// Reopening that cannot succeed closes nothing: the log goes on, and one that never was does not come to be.
func TestReopenOfWhatKafkaDoesNotHave(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	r.start()
	r.produce(someEvents(3)...)
	r.awaitSealed(1)
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	for says, reopening := range map[string]Reopening{
		"Kafka has 0 to 3": {Log: log, From: 4},
		"no such topic":    {Log: chain.LogName(r.cfg.EventsTopic, 9, 0), From: -1},
	} {
		if next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, reopening); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %+v, %v; want %q", reopening, next, err, says)
		}
	}
	if logs, err := r.store.Logs(t.Context()); err != nil || slices.Contains(logs, chain.LogName(r.cfg.EventsTopic, 9, 0)) {
		t.Errorf("logs %v, %v", logs, err)
	}
	r.produce(someEvents(2)...)
	r.awaitSealed(1)
	if c := r.check(log); c.head.Closed || len(c.offsets) != 5 {
		t.Errorf("head %+v, %d records", c.head, len(c.offsets))
	}
}

// A second writer of one log, as a process that was stopped and woke up, does no harm.
func TestTwoWritersOfOnePartition(t *testing.T) {
	broker := testkit.EmbeddedKafka(t).Address
	r := newRig(t, broker, 1)
	other := *r
	other.cfg.Group += "-other" // its own group assigns it the same partition
	a, _ := r.start()
	b, _ := other.start()
	for range 20 {
		r.produce(someEvents(100)...)
	}
	r.awaitSealed(1)
	c := r.check(chain.LogName(r.cfg.EventsTopic, 0, 0))
	if len(c.offsets) != 2000 {
		t.Errorf("%d records in the log, want 2000", len(c.offsets))
	}
	total := testutil.ToFloat64(a.metrics.entries.WithLabelValues("event")) + testutil.ToFloat64(b.metrics.entries.WithLabelValues("event"))
	if total != 2000 {
		t.Errorf("the two count %v events, want each record counted by the one that stored it", total)
	}
}

func TestSealingWaitsWhileTheVaultIsAway(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	r.start()
	r.produce(event(1))
	r.awaitSealed(1)
	head := r.check(chain.LogName(r.cfg.EventsTopic, 0, 0)).head
	if err := r.vault.Close(); err != nil {
		t.Fatal(err)
	}
	// The lease of everybody who is cached runs out within a second.
	testkit.Eventually(t, 10*time.Second, func() bool { return r.vault.Ping(t.Context()) != nil }, "vault closed")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	<-time.After(1200 * time.Millisecond)
	r.produce(event(1), event(2))
	<-ctx.Done()
	if now := r.check(chain.LogName(r.cfg.EventsTopic, 0, 0)).head; now != head {
		t.Error("something was sealed without the vault")
	}
}

func someEvents(n int) [][]byte {
	values := make([][]byte, n)
	for i := range values {
		values[i] = event(i)
	}
	return values
}

func (r *rig) reopenDeps() ReopenDeps {
	return ReopenDeps{Kafka: r.kafka, Store: r.store, Vault: r.vault}
}

// Somebody deletes the end of a log while ingest runs: what the checkpoint does not cover
// is sealed again, what it covers stops the log, and no hole is left behind. The successor
// begins at the first record that is not in the log any more.
func TestDeletedEndOfARunningLog(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	r.cfg.Ledger.SeenWithin = 0
	in, _ := r.start()
	r.produce(someEvents(20)...)
	r.awaitSealed(1)
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	whole := r.check(log).head
	deleteFrom := func(seq uint64) {
		r.exec(fmt.Sprintf("ALTER TABLE {events} DELETE WHERE log = '%s' AND seq >= %d SETTINGS mutations_sync = 2", log, seq))
	}
	deleteFrom(whole.Size - 5)
	r.produce(someEvents(3)...)
	r.awaitSealed(1)
	if c := r.check(log); len(c.offsets) != 23 {
		t.Fatalf("the log holds offsets %v", c.offsets)
	}
	last, err := r.store.EntryAt(t.Context(), log, whole.Size-1)
	if err != nil {
		t.Fatal(err)
	}
	sealed := vault.Checkpoint{Log: log, Size: whole.Size, Head: chain.LeafHash(last), At: time.Now()}
	if swapped, err := r.vault.CompareAndSwapCheckpoint(t.Context(), log, 0, sealed); err != nil || !swapped {
		t.Fatal(swapped, err)
	}
	deleteFrom(whole.Size - 5) // offsets 15 and on
	r.produce(someEvents(4)...)
	testkit.Eventually(t, 30*time.Second, func() bool { return in.stops.check(t.Context()) != nil }, "partition stopped")
	next, err := Reopen(t.Context(), r.reopenDeps(), r.cfg.Ledger, Reopening{Log: log, Reason: "deleted", From: -1})
	if err != nil {
		t.Fatal(err)
	}
	r.awaitSealed(1)
	if c := r.check(next.Log); next.FirstOffset != 15 || len(c.offsets) != 12 || c.offsets[0] != 15 {
		t.Errorf("the successor begins at %d and holds offsets %v", next.FirstOffset, c.offsets)
	}
}
