package detector

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// word is what one of our own processes said that matters to detection. At most one of its members is set.
type word struct {
	partition int
	next      int64
	heartbeat time.Time
	ends      []int64 // of the events' partitions, asked for after the heartbeat
	order     *alert.Order
	id        [16]byte // of the order's event
	revision  [16]byte // of an incident stands in the log: the event id of its entry
}

// listener reads one partition of the topic of system records. Only what bears a known author's signature counts: everybody who may write to Kafka could
// silence alerts otherwise, or move the clock. It belongs to one goroutine.
type listener struct {
	detector *Detector
	number   int
	out      chan<- word
	parser   *events.Parser
	event    events.Event
	known    map[string]vault.Author
	latest   time.Time // of what signed records say of their time
	asked    time.Time // when the ends of the events' topic were asked for last, by this machine's clock
}

// endsEvery parts two questions for the ends of the events' topic: at a start many heartbeats are heard at once.
const endsEvery = time.Second

// staleAfter is how far behind the latest signed time an order may be signed. What is older was written to the topic again by somebody who has read it there.
const staleAfter = time.Hour

func (d *Detector) newListener(number int, out chan<- word) *listener {
	return &listener{detector: d, number: number, out: out, parser: events.NewParser(), known: map[string]vault.Author{}}
}

// run reads until ctx ends, or, with until, to that offset.
func (l *listener) run(ctx context.Context, from int64, until func(next int64) bool) error {
	d := l.detector
	log := d.deps.Log.With("topic", d.cfg.SystemTopic, "partition", l.number)
	for ctx.Err() == nil && !until(from) {
		next, err := l.follow(ctx, from, until)
		from = next
		var lost *kafkaio.OffsetError
		switch {
		case ctx.Err() != nil, err == nil:
		case errors.As(err, &lost):
			log.Warn("system records were lost before the detector read them, going on at the first that Kafka has", "wanted", lost.Wanted, "start", lost.Start)
			from = lost.Start
		default:
			log.Error("reading failed, trying again", "error", err)
			pause(ctx, retryAfter)
		}
	}
	return nil
}

func (l *listener) follow(ctx context.Context, from int64, until func(next int64) bool) (next int64, err error) {
	return l.detector.deps.Kafka.Each(ctx, l.detector.cfg.SystemTopic, l.number, from, func(read *kafkaio.Batch) error {
		if err := l.hear(ctx, read); err != nil {
			return err
		}
		if until(read.Next) {
			return kafkaio.ErrEnough
		}
		return nil
	})
}

// hear hands on what counts.
func (l *listener) hear(ctx context.Context, read *kafkaio.Batch) error {
	for i := range read.Records {
		rec := &read.Records[i]
		said, err := l.word(ctx, rec)
		if err != nil {
			return err
		}
		said.partition, said.next = l.number, rec.Offset+1
		select {
		case l.out <- said:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// word reads one record. What does not count is an empty word. It returns an error only when the vault cannot say whose signature it is.
func (l *listener) word(ctx context.Context, rec *kafkaio.Record) (word, error) {
	if rec.CutBytes > 0 || l.parser.Parse(rec.Value, &l.event) != nil {
		return word{}, nil
	}
	kind := l.event.Raw(events.FieldType)
	if !bytes.Equal(kind, []byte(author.TypeHeartbeat)) && !bytes.Equal(kind, []byte(alert.TypeOrder)) && !bytes.Equal(kind, []byte(alert.TypeIncident)) {
		return word{}, nil
	}
	genuine, err := l.genuine(ctx, rec)
	if err != nil || !genuine {
		return word{}, err
	}
	signed := time.UnixMicro(l.event.TimeMicros())
	if stale := signed.Before(l.latest.Add(-staleAfter)); stale && bytes.Equal(kind, []byte(alert.TypeOrder)) {
		l.detector.deps.Log.Warn("an order about alerts is much older than what stands before it and is left out", "offset", rec.Offset)
		return word{}, nil
	}
	if now := time.Now(); signed.After(l.latest) && !signed.After(now) { // a clock that runs ahead makes nobody else's orders stale
		l.latest = signed
	}
	if bytes.Equal(kind, []byte(alert.TypeIncident)) {
		return word{revision: l.event.ID()}, nil
	}
	at := time.UnixMilli(rec.TimeMillis)
	if bytes.Equal(kind, []byte(author.TypeHeartbeat)) {
		// Of the two times the earlier one: it moves the clock of what nobody has heard of.
		if signed.Before(at) {
			at = signed
		}
		if time.Since(l.asked) < endsEvery {
			return word{}, nil
		}
		l.asked = time.Now()
		// It is asked here and not where detection happens, which a broker that does not answer must not hold up.
		ends, err := ends(ctx, l.detector.deps.Kafka, l.detector.cfg.EventsTopic)
		if err != nil {
			return word{}, ctx.Err() // the next heartbeat comes soon
		}
		return word{heartbeat: at, ends: ends}, nil
	}
	order, err := alert.ParseOrder(&l.event, at)
	if err != nil {
		l.detector.deps.Log.Warn("an order about alerts cannot be read and is left out", "offset", rec.Offset, "error", err)
		return word{}, nil
	}
	return word{order: &order, id: l.event.ID()}, nil
}

// genuine says whether a record bears the signature of a known author. It asks the vault until it answers, or ctx ends.
func (l *listener) genuine(ctx context.Context, rec *kafkaio.Record) (bool, error) {
	name, _ := rec.Header(gdpr.HeaderAuthor)
	text, _ := rec.Header(gdpr.HeaderSignature)
	signature, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || !chain.ValidAuthor(string(name)) {
		return false, nil
	}
	author, known := l.known[string(name)]
	for !known {
		var err error
		author, known, err = l.detector.deps.Vault.Author(ctx, string(name))
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case err != nil:
			l.detector.deps.Log.Warn("the vault cannot say who signed a system record, asking again", "error", err)
			pause(ctx, retryAfter)
			continue
		case !known:
			return false, nil
		}
		l.known[author.Name] = author
	}
	return gdpr.VerifySystem(author.Key, rec.Value, signature), nil
}
