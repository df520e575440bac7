package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// reader reads one partition of the topic of alerts for as long as it is assigned. It belongs to one goroutine.
type reader struct {
	notifier *Notifier
	assigned kafkaio.Assignment
	log      *slog.Logger
	// fresh: the group was never here, so what is in the topic may be of long ago.
	fresh bool
	began time.Time
}

// recordAge tells what is news from what was there before anybody wanted to know.
type recordAge int

const (
	recent recordAge = iota
	old
)

// oldAfter is how far back the very first start tells of incidents. Whoever turns alerts on does not want those of months.
const oldAfter = 24 * time.Hour

// run reads until ctx ends, whatever happens.
func (r *reader) run(ctx context.Context) {
	r.began = time.Now()
	from, known := int64(0), false
	wait := newBackoff()
	for ctx.Err() == nil {
		var err error
		if !known {
			from, err = r.start(ctx)
		}
		if err == nil {
			known = true
			from, err = r.follow(ctx, from)
		}
		var lost *kafkaio.OffsetError
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &lost):
			// Standing still would lose more.
			r.log.Error("alerts were lost before they were read, going on at the first that Kafka has", "wanted", lost.Wanted, "start", lost.Start, "end", lost.End)
			from = lost.Start
		default:
			r.log.Error("alerts cannot be read, trying again", "error", err)
			pause(ctx, nil, wait.NextBackOff())
		}
	}
}

// start is where the group left off, or the first record that Kafka has.
func (r *reader) start(ctx context.Context) (int64, error) {
	kafka := r.notifier.deps.Kafka
	next, ok, err := kafka.Committed(ctx, r.notifier.cfg.Group, r.assigned.Topic, r.assigned.Partition)
	if err != nil || ok {
		return next, err
	}
	r.fresh = true
	next, _, err = kafka.Offsets(ctx, r.assigned.Topic, r.assigned.Partition)
	return next, err
}

// follow takes records from an offset on until ctx ends or following fails, and returns where to go on. What it commits, the vault has.
func (r *reader) follow(ctx context.Context, from int64) (next int64, err error) {
	return r.notifier.deps.Kafka.Each(ctx, r.assigned.Topic, r.assigned.Partition, from, func(batch *kafkaio.Batch) error {
		if !r.takeAll(ctx, batch) {
			return ctx.Err()
		}
		r.assigned.Commit(batch.Next)
		return nil
	})
}

// takeAll returns false if ctx ended before the vault had all of a batch.
func (r *reader) takeAll(ctx context.Context, batch *kafkaio.Batch) bool {
	for i := range batch.Records {
		wait := newBackoff()
		for {
			result, err := r.take(ctx, &batch.Records[i])
			if err == nil {
				r.notifier.metrics.records.WithLabelValues(result).Inc()
				break
			}
			if ctx.Err() != nil {
				return false
			}
			r.log.Warn("an alert cannot be stored, trying again", "offset", batch.Records[i].Offset, "error", err)
			pause(ctx, nil, wait.NextBackOff())
		}
	}
	return ctx.Err() == nil
}

// take keeps the incident of a record. What is no incident is counted and left out: nothing of it can be shown.
func (r *reader) take(ctx context.Context, record *kafkaio.Record) (result string, err error) {
	in, err := anomaly.ParseIncident(record.Value)
	if record.CutBytes > 0 || err != nil {
		r.log.Error("a record of the topic of alerts is no incident", "offset", record.Offset)
		return recordRejected, nil
	}
	age := recent
	if r.fresh && time.UnixMilli(record.TimeMillis).Before(r.began.Add(-oldAfter)) {
		age = old
	}
	return r.notifier.accept(ctx, &in, r.assigned.Partition, age)
}
