package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// TestEpochChangesByAControlEntry lets the month end between two fetches.
func TestEpochChangesByAControlEntry(t *testing.T) {
	s := newSealing(t, DefaultFieldPolicies())
	out := make(chan *batch, 8)
	now := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	asm := &assembler{cfg: DefaultConfig(), topic: "agent.events", sealer: s.sealer, hasher: chain.NewHasher(),
		pool: newBlockPool(8), out: out, head: chain.EmptyHead("agent.events/0"), now: func() time.Time { return now }}
	open := &chain.Control{Op: chain.OpOpen, NextEpoch: 202611, Deployment: "test", Topic: "agent.events"}
	if err := asm.control(t.Context(), open, now); err != nil {
		t.Fatal(err)
	}
	fetch := func(offset int64) {
		t.Helper()
		b := &kafkaio.Batch{Next: offset + 1, HighWatermark: 10, Records: []kafkaio.Record{{Offset: offset, TimeMillis: now.UnixMilli(), Value: event(1)}}}
		if err := asm.add(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := asm.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	fetch(0)
	now = now.Add(2 * time.Second)
	fetch(1)
	close(out)
	var epochs []uint32
	for b := range out {
		epochs = append(epochs, b.head.Epoch)
	}
	// open (0), event (November), announcement (still November), event (December)
	want := []uint32{0, 202611, 202611, 202612}
	if len(epochs) != len(want) {
		t.Fatalf("epochs %v, want %v", epochs, want)
	}
	for i := range want {
		if epochs[i] != want[i] {
			t.Fatalf("epochs %v, want %v", epochs, want)
		}
	}
	// A clock that goes back announces nothing.
	now = now.AddDate(0, -2, 0)
	asm.out = make(chan *batch, 1)
	fetch(2)
	if asm.head.NextEpoch != 202612 || asm.head.Size != 5 {
		t.Errorf("head %+v after the clock went back", asm.head)
	}
}

// A clock that is years ahead must not move the log's epoch there: it never comes back.
func TestEpochDoesNotFollowAClockThatIsFarAhead(t *testing.T) {
	asm := &assembler{newest: time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC).UnixMilli()}
	for _, f := range []struct {
		now  time.Time
		want uint32
	}{
		{time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC), 202611},
		{time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), 202612},
		{time.Date(2036, 3, 1, 0, 0, 0, 0, time.UTC), 202701},
	} {
		if got := asm.month(f.now); got != f.want {
			t.Errorf("at %s: epoch %d, want %d", f.now, got, f.want)
		}
	}
}

// A session that ends with a half-built batch gives its block back; a pool that lost
// one with each rebalance would stand still in the end.
func TestEndedSessionsGiveTheirBlocksBack(t *testing.T) {
	s := newSealing(t, DefaultFieldPolicies())
	pool := newBlockPool(2)
	for range 5 {
		asm := &assembler{cfg: DefaultConfig(), topic: "agent.events", sealer: s.sealer, hasher: chain.NewHasher(), pool: pool, out: make(chan *batch),
			head: chain.Head{Log: "agent.events/0", Size: 1, Leaf: chain.Hash{1}, NextEpoch: chain.EpochOf(sealedAt)}, now: func() time.Time { return sealedAt }}
		ctx, cancel := context.WithCancel(t.Context())
		fetched := make(chan *kafkaio.Batch)
		ended := make(chan error, 1)
		go func() { ended <- assemble(ctx, asm, nil, fetched) }() // ends with ctx
		fetched <- &kafkaio.Batch{Next: 1, Records: []kafkaio.Record{{Value: event(1)}}}
		fetched <- &kafkaio.Batch{Next: 1} // taken once the record is in a batch
		cancel()
		<-ended
		if len(pool) != cap(pool) {
			t.Fatalf("%d of %d blocks are back", len(pool), cap(pool))
		}
	}
}

// A batch ends at its bounds whatever the size of a fetch.
func TestBatchEndsAtItsBounds(t *testing.T) {
	s := newSealing(t, DefaultFieldPolicies())
	cfg := DefaultConfig()
	cfg.MaxRows = 10
	out := make(chan *batch, 8)
	asm := &assembler{cfg: cfg, topic: "agent.events", sealer: s.sealer, hasher: chain.NewHasher(), pool: newBlockPool(8), out: out,
		head: chain.Head{Log: "agent.events/0", Size: 1, Leaf: chain.Hash{1}, NextEpoch: chain.EpochOf(sealedAt)}, now: func() time.Time { return sealedAt }}
	b := &kafkaio.Batch{Next: 40, HighWatermark: 50}
	for i := range int64(25) {
		b.Records = append(b.Records, kafkaio.Record{Offset: i, Value: event(int(i))})
	}
	if err := asm.add(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := asm.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(out)
	var rows []int
	var last *batch
	for b := range out {
		rows, last = append(rows, b.block.Rows()), b
	}
	if len(rows) != 3 || rows[0] != 10 || rows[1] != 10 || rows[2] != 5 {
		t.Errorf("batches of %v rows", rows)
	}
	if last.head.Next != 40 || last.behind != 10 {
		t.Errorf("continues at %d with %d behind, want the end of the fetch", last.head.Next, last.behind)
	}
}
