package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// batch is a block on its way to the store and the head that it makes.
type batch struct {
	block  *store.Block
	head   chain.Head
	kinds  [chain.KindControl + 1]int // entries of each kind
	behind int64                      // records of the partition that come after it, as last seen
}

// assembler chains sealed records to entries and gathers them in batches. It runs
// ahead of the store: its head is the one that the log has once all batches
// handed out are stored. It belongs to one goroutine.
type assembler struct {
	cfg    Config
	topic  string
	sealer *recordSealer
	hasher *chain.Hasher
	pool   blockPool
	out    chan<- *batch

	head    chain.Head
	current *batch // nil until there is a record for it
	since   time.Time
	newest  int64 // the newest record's time, Unix milliseconds
	entry   []byte
	header  chain.Header
	now     func() time.Time
}

// add seals the records of a fetch and hands out each batch that is full.
func (a *assembler) add(ctx context.Context, fetched *kafkaio.Batch) error {
	now := a.now()
	for i := range fetched.Records {
		rec := &fetched.Records[i]
		a.newest = max(a.newest, chain.ClampMillis(rec.TimeMillis))
		if err := a.begin(ctx, now); err != nil {
			return err
		}
		kind, err := a.seal(ctx, rec, fetched.Records[i+1:], now)
		if err != nil {
			return err
		}
		next := rec.Offset + 1
		if i == len(fetched.Records)-1 {
			next = max(next, fetched.Next) // markers behind the last record need not be read again
		}
		source := chain.Source{Offset: rec.Offset, Next: next, TimeMillis: chain.ClampMillis(rec.TimeMillis)}
		if err := a.chain(ctx, kind, source, now); err != nil {
			return err
		}
		a.head.LastOffset, a.head.LastTimeMillis = source.Offset, source.TimeMillis
		a.head.LastEventID = [16]byte{}
		if a.sealer.row.Event != nil {
			a.head.LastEventID = a.sealer.row.Event.ID()
		}
		a.current.head = a.head
		a.current.behind = max(0, fetched.HighWatermark-next)
		if a.full() {
			if err := a.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// seal makes the body of a record's entry; see recordSealer.
func (a *assembler) seal(ctx context.Context, rec *kafkaio.Record, ahead []kafkaio.Record, now time.Time) (chain.Kind, error) {
	if a.topic == a.cfg.SystemTopic {
		return a.sealer.sealSystem(ctx, rec, now)
	}
	return a.sealer.sealEvent(ctx, rec, ahead, now)
}

// begin makes sure that there is a batch in the epoch that the log is in, which moves
// on with the month. The control entry that announces a new epoch stands in the old
// one and is a batch of its own, since an insert never spans two.
func (a *assembler) begin(ctx context.Context, now time.Time) error {
	if a.current != nil {
		return nil
	}
	if month := a.month(now); month > a.head.NextEpoch {
		if err := a.control(ctx, &chain.Control{Op: chain.OpEpoch, NextEpoch: month}, now); err != nil {
			return err
		}
	}
	return a.take(ctx, now)
}

// epochLead is how far an epoch may be ahead of the newest record's time. A clock that
// jumps by years would otherwise move the log's epoch there for good, since epochs
// never go back, and all entries until then would share one partition of the table.
const epochLead = 40 * 24 * time.Hour

// month is the epoch that the clock says, but for a clock that is far ahead of Kafka.
func (a *assembler) month(now time.Time) uint32 {
	return min(chain.EpochOf(now), chain.EpochOf(time.UnixMilli(a.newest).Add(epochLead)))
}

func (a *assembler) take(ctx context.Context, now time.Time) error {
	block, err := a.pool.take(ctx)
	if err != nil {
		return err
	}
	a.current = &batch{block: block, head: a.head}
	a.since = now
	return nil
}

// control hands out a batch of one control entry.
func (a *assembler) control(ctx context.Context, c *chain.Control, now time.Time) error {
	if err := a.take(ctx, now); err != nil {
		return err
	}
	a.sealer.row = store.Row{}
	a.sealer.body = chain.AppendControl(a.sealer.body[:0], c)
	next := a.head.Next
	if c.Op == chain.OpOpen {
		next = c.FirstOffset
	}
	if err := a.chain(ctx, chain.KindControl, chain.Source{Offset: chain.NoOffset, Next: next}, now); err != nil {
		return err
	}
	a.head.NextEpoch = c.NextEpoch
	a.head.Closed = c.Op == chain.OpClose
	a.head.LastOffset, a.head.LastTimeMillis, a.head.LastEventID = chain.NoOffset, 0, [16]byte{}
	a.current.head = a.head
	return a.flush(ctx)
}

// chain makes the entry from the sealer's body and appends it to the current batch.
func (a *assembler) chain(ctx context.Context, kind chain.Kind, source chain.Source, now time.Time) error {
	a.header = chain.Header{
		Log: a.head.Log, Seq: a.head.Size, Prev: a.head.Leaf, Epoch: a.head.NextEpoch,
		SealedMicros: now.UnixMicro(), Source: source, Kind: kind,
	}
	a.entry = chain.AppendEntry(a.entry[:0], &a.header, a.sealer.body)
	if len(a.entry) > chain.MaxEntryBytes {
		// The parser's bounds keep entries well below; whoever widens them finds this.
		return fmt.Errorf("entry of %d bytes at offset %d of %s", len(a.entry), source.Offset, a.head.Log)
	}
	row := &a.sealer.row
	row.Header, row.Entry, row.Leaf = &a.header, a.entry, a.hasher.Leaf(a.entry)
	err := a.current.block.Append(row)
	if errors.Is(err, store.ErrBlockFull) && a.current.block.Rows() > 0 {
		// Nothing of the entry depends on its batch, so it begins the next.
		if err := a.flush(ctx); err != nil {
			return err
		}
		if err := a.take(ctx, now); err != nil {
			return err
		}
		err = a.current.block.Append(row)
	}
	if err != nil {
		return fmt.Errorf("append entry %d of %s: %w", a.head.Size, a.head.Log, err)
	}
	a.head.Size++
	a.head.Leaf, a.head.Epoch, a.head.Next = row.Leaf, a.header.Epoch, source.Next
	a.current.kinds[kind]++
	return nil
}

func (a *assembler) full() bool {
	return a.current.block.Rows() >= a.cfg.MaxRows || a.current.block.Bytes() >= a.cfg.MaxBytes
}

// due tells how long the current batch may still wait for more records.
func (a *assembler) due() (time.Duration, bool) {
	if a.current == nil {
		return 0, false
	}
	return a.cfg.Linger - a.now().Sub(a.since), true
}

// flush hands the current batch out. It waits while the store is behind.
func (a *assembler) flush(ctx context.Context) error {
	select {
	case a.out <- a.current:
		a.current = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drop gives back the memory of a batch that was not handed out. Its records are still in Kafka.
func (a *assembler) drop() {
	if a.current != nil {
		a.pool.give(a.current.block)
		a.current = nil
	}
}
