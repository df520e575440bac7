package kafkaio

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"
)

// baseOffset is what the first batch of a record set says.
func baseOffset(records []byte) int64 { return int64(binary.BigEndian.Uint64(records)) }

// firstRecord decodes the record at an offset, or the first one after it, from the beginning of an answer. It is nil if the
// answer's first batches have none. The record aliases the answer or s.
func firstRecord(d *decoder, s *slab, r *response, got fetched, offset int64) (*Record, error) {
	if len(got.records) == 0 {
		return nil, nil
	}
	d.agreed = anyBase
	d.start(r, got.records, offset)
	if err := d.fill(s); err != nil && len(s.records) == 0 {
		return nil, err
	}
	if len(s.records) == 0 {
		return nil, nil
	}
	return &s.records[0], nil
}

// confirm reads the record that was delivered last once more. If another one is in its place, the log is not the one that was read.
func (f *follower) confirm(ctx context.Context) error {
	r := f.memory.response()
	defer r.release()
	plan := f.plan
	plan.maxBytes = 1 // the broker sends the one batch that holds it
	got, err := f.link.fetch(&plan, f.last.offset, r)
	if err != nil {
		return &transient{reasonNetwork, err}
	}
	if got.code == int16(kafka.OffsetOutOfRange) || got.code == 0 && got.logStart > f.last.offset {
		start, end, err := f.client.Offsets(ctx, f.plan.topic, f.plan.partition)
		switch {
		case err != nil:
			return &transient{reasonBroker, err}
		case start > f.last.offset:
			return nil // deleted since, so it cannot be compared
		}
		return f.judge(f.next, start, end)
	}
	if err := f.check(ctx, got, f.last.offset); err != nil {
		return err
	}
	var s slab
	defer s.recycle()
	agreed := f.decoder.agreed
	found, err := firstRecord(&f.decoder, &s, r, got, f.last.offset)
	f.decoder.agreed = agreed
	switch {
	case err != nil:
		return f.badBytes(err)
	case found == nil || found.Offset != f.last.offset:
		f.log.Warn("the record delivered last is not in the log any more", "offset", f.last.offset)
		return nil
	case f.mark(found) != f.last:
		if f.rewinds++; f.rewinds < rewindTries {
			return &transient{reasonOffset, fmt.Errorf("the record at offset %d is another than before", f.last.offset)}
		}
		start, end, err := f.client.Offsets(ctx, f.plan.topic, f.plan.partition)
		if err != nil {
			return &transient{reasonBroker, err}
		}
		return f.offsetError(ErrRewind, f.next, start, end)
	}
	return nil
}

// RecordAt reads the record at an offset into memory of its own. ok is false if the log has no record there (deleted, not
// written yet, compacted away, or a transaction's marker).
func (c *Client) RecordAt(ctx context.Context, topic string, partition int, offset int64) (r Record, ok bool, err error) {
	err = c.retry(ctx, func(ctx context.Context) error {
		r, ok, err = c.recordAt(ctx, topic, partition, offset)
		return err
	})
	if err != nil {
		return Record{}, false, fmt.Errorf("read record %d of %s/%d: %w", offset, topic, partition, err)
	}
	return r, ok, nil
}

func (c *Client) recordAt(ctx context.Context, topic string, partition int, offset int64) (Record, bool, error) {
	addr, err := c.leader(ctx, topic, partition)
	if err != nil {
		return Record{}, false, err
	}
	l, err := c.connect(ctx, addr)
	if err != nil {
		return Record{}, false, err
	}
	defer l.close()
	r := new(response)
	// The broker must not wait if the offset is the end of the log.
	got, err := l.fetch(&fetchPlan{topic: topic, partition: partition, maxBytes: 1, patience: c.cfg.RequestTimeout}, offset, r)
	switch {
	case err != nil:
		return Record{}, false, err
	case got.code == int16(kafka.OffsetOutOfRange):
		return Record{}, false, nil
	case got.code != 0:
		return Record{}, false, kafka.Error(got.code)
	}
	d := decoder{maxPlain: firstPlainBytes, agreed: noBase}
	var s slab
	found, err := firstRecord(&d, &s, r, got, offset)
	if err != nil || found == nil || found.Offset != offset {
		return Record{}, false, err
	}
	return found.clone(), true, nil
}

func (r *Record) clone() Record {
	c := *r
	c.Key, c.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	c.Headers = slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i] = Header{slices.Clone(c.Headers[i].Key), slices.Clone(c.Headers[i].Value)}
	}
	return c
}
