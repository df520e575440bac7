package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/segmentio/kafka-go"
)

const (
	// corruptTries is how often bytes that are no batch are fetched again, each time over a new connection, before the partition stops.
	corruptTries = 5
	// rewindTries is how often a log must be found to end too early: a leader that was just elected may not know its own end yet.
	rewindTries = 3
	// doubtAfter is the time without an answer after which the log might have been replaced unseen.
	doubtAfter = 10 * time.Second
)

// Follow delivers the records of a partition from an offset on to out, in order and without skipping any, until ctx ends (then it returns nil)
// or it must not go on: *OffsetError (gap, rewind) or *CorruptError. Everything else (brokers away, leaders moving, connections that
// hang) it outlasts with backoff. At most FetchDepth delivered batches are out at a time: the caller releases each.
// It does not close out. Offsets below the wanted one are never delivered.
//
// After every interruption it reads the record that it delivered last once more and compares, so a topic that was deleted and made
// anew meanwhile is a rewind even if the offset exists again. What was there before Follow was called, the caller must compare (RecordAt).
func (c *Client) Follow(ctx context.Context, topic string, partition int, from int64, out chan<- *Batch) error {
	if from < 0 {
		return fmt.Errorf("follow %s/%d: offset %d is none", topic, partition, from)
	}
	f := &follower{
		client: c,
		log:    c.log.With("topic", topic, "partition", partition),
		plan: fetchPlan{topic: topic, partition: partition, maxBytes: c.cfg.FetchMaxBytes,
			maxWait: c.cfg.FetchMaxWait, patience: c.cfg.RequestTimeout},
		out:    out,
		memory: newMemory(c.cfg.FetchDepth, c.cfg.FetchMaxBytes),
		next:   from,
		wait:   newBackoff(),
		seed:   maphash.MakeSeed(),
	}
	f.decoder = decoder{maxPlain: c.cfg.FetchMaxBytes, agreed: noBase}
	f.disputed = noBase
	return f.run(ctx)
}

// newBackoff waits 50 ms at first and 2 s at last, each time by a random half more or less.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = 50*time.Millisecond, 2*time.Second, 2, 0.5
	return b
}

// follower is the state of one Follow. One goroutine uses it.
type follower struct {
	client  *Client
	log     *slog.Logger
	plan    fetchPlan
	out     chan<- *Batch
	memory  *memory
	decoder decoder
	link    *link // nil: to be made
	wait    *backoff.ExponentialBackOff

	next     int64     // the offset to deliver next
	last     mark      // the record delivered last
	doubt    bool      // the log might not be the one that last is from
	asked    time.Time // the last answer that was in order
	seed     maphash.Seed
	healthy  bool  // the last fetch succeeded, says the metric
	failing  bool  // it did not, says the log
	disputed int64 // the offset at which a batch was misplaced last
	corrupt  int   // bad answers at this offset
	rewinds  int   // times that the log ended too early
}

// transient is an error that is outlasted.
type transient struct {
	reason string // for the metric
	err    error
}

func (e *transient) Error() string { return e.err.Error() }
func (e *transient) Unwrap() error { return e.err }

func (f *follower) run(ctx context.Context) error {
	defer func() {
		f.link.close()
		f.setHealthy(false)
	}()
	for {
		err := f.step(ctx)
		switch passing := (*transient)(nil); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if f.failing {
				f.log.Info("following again", "next", f.next)
			}
			f.failing = false
			f.setHealthy(true)
			f.wait.Reset()
		case errors.As(err, &passing):
			if !f.failing { // once for each interruption
				f.log.Warn("following is interrupted, trying again", "next", f.next, "reason", passing.reason, "error", passing.err)
			}
			f.failing = true
			f.setHealthy(false)
			f.client.metrics.failures.WithLabelValues(f.plan.topic, passing.reason).Inc()
			f.link.close()
			f.link, f.doubt = nil, true
			if !sleep(ctx, f.wait.NextBackOff()) {
				return nil
			}
		default:
			return err
		}
	}
}

func (f *follower) setHealthy(now bool) {
	if gauge := f.client.metrics.following.WithLabelValues(f.plan.topic); now && !f.healthy {
		gauge.Inc()
	} else if !now && f.healthy {
		gauge.Dec()
	}
	f.healthy = now
}

// step makes one fetch and delivers what came.
func (f *follower) step(ctx context.Context) error {
	if f.link == nil {
		addr, err := f.client.leader(ctx, f.plan.topic, f.plan.partition)
		if err == nil {
			f.link, err = f.client.connect(ctx, addr)
		}
		if err != nil {
			return &transient{reasonConnect, err}
		}
	}
	if f.last.known && (f.doubt || time.Since(f.asked) > doubtAfter) {
		if err := f.confirm(ctx); err != nil {
			return err
		}
	}
	f.doubt = false
	r := f.memory.response()
	defer r.release()
	began := time.Now()
	got, err := f.link.fetch(&f.plan, f.next, r)
	if err != nil {
		return &transient{reasonNetwork, err}
	}
	if err := f.check(ctx, got, f.next); err != nil {
		return err
	}
	f.asked, f.rewinds = time.Now(), 0
	if len(got.records) == 0 {
		f.corrupt = 0
		if time.Since(began) < f.plan.maxWait/8 {
			sleep(ctx, f.plan.maxWait/8) // the broker did not wait, so we do
		}
		return nil
	}
	f.client.metrics.bytes.WithLabelValues(f.plan.topic).Add(float64(len(got.records)))
	return f.deliver(ctx, r, got)
}

// check turns the error of an answer into ours.
func (f *follower) check(ctx context.Context, got fetched, wanted int64) error {
	switch code := kafka.Error(got.code); {
	case got.code == 0:
	case code == kafka.OffsetOutOfRange:
		return f.outOfRange(ctx, wanted)
	case code == kafka.InvalidMessage: // "corrupt message": the broker's own file is damaged
		return f.badBytes(code)
	default:
		return &transient{reasonBroker, code}
	}
	if got.logStart > wanted && (len(got.records) < 8 || baseOffset(got.records) > wanted) {
		return f.offsetError(ErrGap, wanted, got.logStart, got.highWatermark)
	}
	return nil
}

// outOfRange finds out on which side of the log the wanted offset lies.
func (f *follower) outOfRange(ctx context.Context, wanted int64) error {
	start, end, err := f.client.Offsets(ctx, f.plan.topic, f.plan.partition)
	if err != nil {
		return &transient{reasonBroker, err}
	}
	return f.judge(wanted, start, end)
}

// judge says what it means that a log does not have the wanted offset.
func (f *follower) judge(wanted, start, end int64) error {
	if wanted < start {
		return f.offsetError(ErrGap, wanted, start, end)
	}
	if wanted > end {
		if f.rewinds++; f.rewinds >= rewindTries {
			return f.offsetError(ErrRewind, wanted, start, end)
		}
	}
	return &transient{reasonOffset, fmt.Errorf("offset %d is out of range of a log of %d to %d", wanted, start, end)}
}

func (f *follower) offsetError(kind error, wanted, start, end int64) error {
	return &OffsetError{Kind: kind, Topic: f.plan.topic, Partition: f.plan.partition, Wanted: wanted, Start: start, End: end}
}

// badBytes counts what may be damage on the way, and gives up when it is not.
func (f *follower) badBytes(err error) error {
	if f.corrupt++; f.corrupt >= corruptTries {
		return &CorruptError{Topic: f.plan.topic, Partition: f.plan.partition, Offset: f.next, Reason: err.Error()}
	}
	return &transient{reasonCorrupt, fmt.Errorf("batch at offset %d: %w", f.next, err)}
}

// deliver decodes an answer into batches and sends them.
func (f *follower) deliver(ctx context.Context, r *response, got fetched) error {
	d := &f.decoder
	d.start(r, got.records, f.next)
	before := f.next
	for !d.done() {
		var s *slab
		select {
		case s = <-f.memory.slabs:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := d.fill(s)
		if s.next > f.next {
			n := len(s.records)
			f.client.metrics.records.WithLabelValues(f.plan.topic).Add(float64(n))
			f.client.metrics.absent.WithLabelValues(f.plan.topic).Add(float64(s.next - f.next - int64(n)))
			f.next, f.corrupt = s.next, 0
			if n > 0 {
				f.last = f.mark(&s.records[n-1])
			}
			b := &Batch{Records: s.records, Next: s.next, HighWatermark: max(got.highWatermark, s.next)}
			b.memory.Store(s)
			select {
			case f.out <- b:
			case <-ctx.Done():
				b.Release()
				return ctx.Err()
			}
		} else {
			s.recycle()
		}
		if err != nil && f.next == before {
			return f.undecodable(err)
		}
		if err != nil {
			return nil // what is good is delivered; the next fetch begins at the bad place
		}
	}
	if f.next == before {
		return f.badBytes(bad("all of the answer lies before it"))
	}
	return nil
}

// undecodable handles an answer whose very beginning is not what was expected.
func (f *follower) undecodable(err error) error {
	misplaced := (*misplacedError)(nil)
	if !errors.As(err, &misplaced) {
		return f.badBytes(err)
	}
	// If another connection says the same, it is in the log itself.
	disputed := f.disputed == misplaced.wanted
	f.decoder.agreed, f.disputed = misplaced.found, misplaced.wanted
	if disputed {
		return &transient{reasonCorrupt, err}
	}
	if misplaced.found > misplaced.wanted {
		f.client.metrics.holes.WithLabelValues(f.plan.topic).Inc()
		f.log.Warn("offsets are missing in the log", "wanted", misplaced.wanted, "found", misplaced.found)
	}
	return f.reconnect()
}

// reconnect makes the next fetch use another connection, without the signs of a failure.
func (f *follower) reconnect() error {
	f.link.close()
	f.link = nil
	return nil
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// mark recognizes a record within one Follow.
type mark struct {
	known  bool
	offset int64
	sum    uint64
}

func (f *follower) mark(r *Record) mark {
	var h maphash.Hash
	h.SetSeed(f.seed)
	maphash.WriteComparable(&h, [2]int64{r.TimeMillis, int64(len(r.Key))})
	h.Write(r.Key)
	h.Write(r.Value)
	return mark{true, r.Offset, h.Sum64()}
}
