package detector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// batchesAhead is how many batches of a partition may wait for the engine.
const batchesAhead = 2

// reader reads one partition of the events' topic and makes observations of its records. It belongs to one goroutine.
type reader struct {
	detector *Detector
	observer *observer
	number   int
	out      chan<- *batch
	free     chan *batch
	lag      prometheus.Gauge
	end      int64 // of the partition, as of the last fetch
}

func (d *Detector) newReader(number int, out chan<- *batch, cache *vault.Cache) *reader {
	r := &reader{
		detector: d, observer: d.newObserver(number, cache), number: number, out: out, free: make(chan *batch, batchesAhead),
		lag: d.metrics.lag.WithLabelValues(fmt.Sprintf("%s/%d", d.cfg.EventsTopic, number)),
	}
	for range batchesAhead {
		r.free <- &batch{partition: int32(number), free: r.free}
	}
	return r
}

// run reads from an offset on until ctx ends, whatever happens: a partition that stood still would be silence that nobody notices.
func (r *reader) run(ctx context.Context, from int64) error {
	d := r.detector
	log := d.deps.Log.With("topic", d.cfg.EventsTopic, "partition", r.number)
	defer d.metrics.lag.DeleteLabelValues(fmt.Sprintf("%s/%d", d.cfg.EventsTopic, r.number)) // who reads it next shows it
	defer d.metrics.held.DeleteLabelValues(fmt.Sprintf("%s/%d", d.cfg.EventsTopic, r.number))
	for ctx.Err() == nil {
		next, err := r.follow(ctx, from)
		from = next
		var lost *kafkaio.OffsetError
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &lost):
			// Unlike ingest, which stops: what was lost was never noticed, and standing still would lose more.
			d.metrics.skipped.Inc()
			log.Error("records were lost before the detector read them, going on at the first that Kafka has",
				"wanted", lost.Wanted, "start", lost.Start, "end", lost.End)
			from = lost.Start
		default:
			log.Error("reading failed, trying again", "error", err)
			pause(ctx, retryAfter)
		}
	}
	return nil
}

// retryAfter parts two attempts at what Follow could not outlast by itself, such as a batch that is damaged on the broker's disk.
const retryAfter = 5 * time.Second

// pause returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow hands on observations from an offset on until ctx ends or following fails, and returns where to go on.
func (r *reader) follow(ctx context.Context, from int64) (next int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	records := make(chan *kafkaio.Batch)
	ended := make(chan error, 1)
	go func() { // ends with ctx or by failing, and is awaited below
		ended <- r.detector.deps.Kafka.Follow(ctx, r.detector.cfg.EventsTopic, r.number, from, records)
	}()
	next = from
	again := time.NewTicker(askEvery)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			if len(r.observer.held.records) == 0 {
				continue
			}
			// Nothing may follow what is held.
			if err := r.hand(ctx, &kafkaio.Batch{Next: next, HighWatermark: max(next, r.end)}); err != nil {
				cancel()
				<-ended //nolint:errcheck // nothing but that ctx ended
				return next, err
			}
		case read := <-records:
			r.end = read.HighWatermark
			if err := r.hand(ctx, read); err != nil {
				cancel()
				<-ended //nolint:errcheck // nothing but that ctx ended
				return next, err
			}
			next = read.Next
		case err := <-ended:
			cancel()
			return next, err
		}
	}
}

// hand makes observations of records and waits until the engine takes them.
func (r *reader) hand(ctx context.Context, read *kafkaio.Batch) error {
	defer read.Release()
	var b *batch
	select {
	case b = <-r.free:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.observer.observe(ctx, read.Records, b); err != nil {
		r.free <- b
		return err
	}
	b.next, b.behind = read.Next, read.HighWatermark-read.Next
	r.lag.Set(float64(b.behind))
	select {
	case r.out <- b:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
