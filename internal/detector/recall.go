package detector

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// maxUnsealed bounds the revisions that are looked for in the log at a start: some were said between the last snapshot and its end, and no more than a few behind
// the last that stands there too.
const maxUnsealed = 10_000

// recall reads what was said on the topic of alerts, and tells the engine what of it is provisional. It returns where each partition ends, and the revisions behind
// the snapshot's place, which the last turn may not have come to say in the log.
func (d *Detector) recall(ctx context.Context, known *said, engine *anomaly.Engine, places vault.DetectorPlaces) (end []int64, unsealed map[[16]byte]anomaly.Incident, err error) {
	end, err = ends(ctx, d.deps.Kafka, d.cfg.AlertsTopic)
	if err != nil {
		return nil, nil, err
	}
	unsealed = map[[16]byte]anomaly.Incident{}
	provisional := map[uuid.UUID]anomaly.Incident{}
	for partition, end := range end {
		start, _, err := d.deps.Kafka.Offsets(ctx, d.cfg.AlertsTopic, partition)
		if err != nil {
			return nil, nil, err
		}
		sealed, snapshot := places[place(d.cfg.AlertsTopic, partition)]
		if err := d.readTo(ctx, d.cfg.AlertsTopic, partition, start, end, func(rec *kafkaio.Record) error {
			in, err := anomaly.ParseIncident(rec.Value)
			if rec.CutBytes > 0 || err != nil {
				d.deps.Log.Warn("a record on the topic of alerts is no incident and is left out", "partition", partition, "offset", rec.Offset)
				return nil
			}
			if snapshot && rec.Offset >= sealed && len(unsealed) < maxUnsealed {
				unsealed[alert.RevisionID(&in)] = in
			}
			if in.Status == anomaly.Provisional {
				provisional[in.ID] = in
			}
			return known.heard(&in, time.Time{})
		}); err != nil {
			return nil, nil, err
		}
	}
	known.trim()
	for id, in := range provisional {
		if u := known.known[id]; u != nil && u.status == anomaly.Provisional {
			engine.Recall(&in)
		}
	}
	return end, unsealed, nil
}

// orderMemory is how many records of a partition of system records are looked through at a start for orders that were carried out before.
const orderMemory = 10_000

// remember notes the orders that stand before the place where reading goes on, and the times at which they were signed, and carries none out: they are part of what
// was learned. Otherwise whoever may write to the topic could repeat one after each restart, and have people's alerts suppressed again that no longer are.
func (t *detection) remember(ctx context.Context, l *listener) error {
	d, before := t.detector, t.system[l.number]
	start, _, err := d.deps.Kafka.Offsets(ctx, d.cfg.SystemTopic, l.number)
	if err != nil {
		return err
	}
	return d.readTo(ctx, d.cfg.SystemTopic, l.number, max(start, before-orderMemory), before, func(rec *kafkaio.Record) error {
		if rec.Offset >= before {
			return nil
		}
		l.asked = time.Now() // where events ended then is of no use
		w, err := l.word(ctx, rec)
		if err != nil || w.order == nil {
			return err
		}
		if _, ok := t.publisher.said.directive(w.order); ok {
			t.publisher.said.first(w.id)
		}
		return nil
	})
}

// seal says in the log what was said on the topic of alerts only: the process ended in between. It comes behind listen, which has heard what stands in the log.
func (t *detection) seal(ctx context.Context) error {
	var records []kafkaio.Message
	for _, in := range slices.SortedFunc(maps.Values(t.unsealed), func(a, b anomaly.Incident) int {
		return cmp.Or(a.First.Compare(b.First), bytes.Compare(a.ID[:], b.ID[:]), cmp.Compare(a.Revision, b.Revision))
	}) {
		record, err := t.publisher.sealed(&in)
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	t.unsealed = nil
	if len(records) == 0 {
		return nil
	}
	t.detector.deps.Log.Warn("incidents that were said and did not come to stand in the log are said there now", "revisions", len(records))
	return t.publisher.send(ctx, t.detector.cfg.SystemTopic, records)
}

// readTo gives each record of a partition from one offset to another to take.
func (d *Detector) readTo(ctx context.Context, topic string, partition int, from, to int64, take func(*kafkaio.Record) error) error {
	if from >= to {
		return nil
	}
	next, err := d.deps.Kafka.Each(ctx, topic, partition, from, func(read *kafkaio.Batch) error {
		for i := range read.Records {
			if err := take(&read.Records[i]); err != nil {
				return err
			}
		}
		if read.Next >= to {
			return kafkaio.ErrEnough
		}
		return nil
	})
	if err == nil && next < to {
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", place(topic, partition), err)
	}
	return nil
}
