package detector

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/inspect"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/observe"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// maxAhead bounds how many unknown people are asked for in one round trip to the vault.
const maxAhead = 2048

// observer makes observations of the records of one partition. It belongs to one goroutine.
type observer struct {
	partition int32
	place     string // `<topic>/<partition>`, as suppressions name it
	cache     *vault.Cache
	hasher    *vault.Hasher
	inspector *inspect.Inspector
	matcher   *rules.Matcher
	filler    *observe.Filler
	key       observe.Key
	seed      maphash.Seed // of Observation.Digest

	parser *events.Parser
	event  events.Event
	now    time.Time // when the records at hand had been taken

	missing []vault.Identity
	asked   map[vault.LookupHash]struct{}

	held      held
	answered  bool      // the vault has answered once
	askAgain  time.Time // it did not; it is not asked before
	heldGauge prometheus.Gauge

	// retry waits before an attempt to reach the vault is repeated. It returns an error when ctx ends.
	retry func(ctx context.Context, err error) error
}

// batch is what was seen in some records of one partition.
type batch struct {
	partition    int32
	observations []anomaly.Observation
	next         int64 // offset behind the last record
	behind       int64 // records behind them when they were read
	counted      familyCounts
	rejected     int
	free         chan *batch // where it goes back to

	// waits: records from offset heldFrom on, recorded at heldAt (microseconds) or later, are not among those that were read.
	waits            bool
	heldFrom, heldAt int64

	// What observations point into.
	findings []scan.Finding
	matches  []int
}

// observe fills b from records, and from those that are held and whose people are known by now. It returns an error only when ctx ends: while the vault is away,
// records of newcomers are held, and when there is no more room for them the partition waits.
func (o *observer) observe(ctx context.Context, records []kafkaio.Record, b *batch) error {
	b.observations, b.findings, b.matches, b.rejected = b.observations[:0], b.findings[:0], b.matches[:0], 0
	b.counted = familyCounts{}
	o.now = time.Now()
	if err := o.release(ctx, b); err != nil {
		return err
	}
	for i := range records {
		rec := &records[i]
		if rec.CutBytes > 0 || o.parser.Parse(rec.Value, &o.event) != nil || o.event.Reserved() {
			b.rejected++
			continue
		}
		subject, err := o.who(ctx, records[i:], o.held.room(rec, o.now))
		switch {
		case err == nil:
			o.add(b, rec, subject)
		case errors.Is(err, errAway):
			o.held.add(rec, o.now)
		default:
			return err
		}
	}
	if b.waits = len(o.held.records) > 0; b.waits {
		b.heldFrom, b.heldAt = o.held.records[0].Offset, o.held.from*1000
	}
	o.heldGauge.Set(float64(len(o.held.records)))
	return nil
}

// errAway: the vault does not say who somebody is, and the record is to be held.
var errAway = errors.New("the vault does not answer")

// release adds what is held, in its order, until the vault does not answer.
func (o *observer) release(ctx context.Context, b *batch) error {
	done := 0
	defer func() {
		if done > 0 {
			o.held.drop(done, o.now)
		}
	}()
	for ; done < len(o.held.records) && ctx.Err() == nil; done++ {
		rec := &o.held.records[done]
		if o.parser.Parse(rec.Value, &o.event) != nil {
			continue // it was an event once
		}
		subject, err := o.who(ctx, o.held.records[done:], true)
		if errors.Is(err, errAway) {
			return nil
		}
		if err != nil {
			return err
		}
		o.add(b, rec, subject)
	}
	return ctx.Err()
}

// add observes the event that was parsed last.
func (o *observer) add(b *batch, rec *kafkaio.Record, subject [16]byte) {
	b.observations = append(b.observations, anomaly.Observation{})
	ob := &b.observations[len(b.observations)-1]
	o.fill(ob, rec)
	ob.Subject = subject
	findings, threat := o.inspector.Inspect(&o.event)
	from := len(b.findings)
	b.findings = append(b.findings, findings...)
	ob.Findings, ob.Threat = b.findings[from:len(b.findings):len(b.findings)], threat
	from = len(b.matches)
	b.matches = o.matcher.Match(b.matches, &o.event, findings, threat)
	ob.Matches = b.matches[from:len(b.matches):len(b.matches)]
	if len(ob.Matches) > 0 || threat >= scan.Medium {
		ob.Digest = o.key.Digest(rec.Value) // slower, and the same after a restart
	}
	b.counted.add(o.event.Raw(events.FieldType), o.event.Outcome())
}

func (o *observer) value(f events.Field) []byte { return o.filler.Value(&o.event, f) }

// fill copies what is to be seen of the event that was parsed last.
func (o *observer) fill(ob *anomaly.Observation, rec *kafkaio.Record) {
	o.filler.Fill(ob, &o.event)
	ob.Partition, ob.Offset, ob.Recorded = o.partition, rec.Offset, recorded(rec.TimeMillis, o.now)
	ob.Digest = maphash.Bytes(o.seed, rec.Value)
}

// maxAheadOfUs is how far a record's time may lie in the future by this machine's clock. Without a bound, one record that says 9999 would close all minutes
// to come.
const maxAheadOfUs = time.Minute

// recorded returns when Kafka took a record, in microseconds. A topic with CreateTime believes its producers, so the time is bounded.
func recorded(millis int64, now time.Time) int64 {
	return max(0, min(millis, now.Add(maxAheadOfUs).UnixMilli())) * 1000
}

// who returns the pseudonym of the user of the first of records, which is parsed; zero: none, or somebody who was erased and whose event is from before that.
// Newcomers are resolved together with those of the records behind them. With hold it does not wait for a vault that is away, and fails with errAway.
func (o *observer) who(ctx context.Context, records []kafkaio.Record, hold bool) (subject [16]byte, err error) {
	if !o.event.Has(events.FieldUserID) {
		return subject, nil
	}
	for {
		hash := o.hasher.Hash(o.value(events.FieldTenant), o.value(events.FieldUserID))
		if late := o.cache.Suppressed(hash); late != nil && late.Covers(o.place, records[0].Offset, o.event.TimeMicros()) {
			return subject, nil
		}
		if id, known := o.cache.Pseudonym(hash); known {
			return id, nil
		}
		err := o.resolve(ctx, records, hold)
		if errors.Is(err, vault.ErrDamaged) {
			return subject, nil // nobody can say who that is; what the event shows of agent and tenant counts
		}
		if err != nil {
			return subject, err
		}
		if o.parser.Parse(records[0].Value, &o.event) != nil {
			return subject, errors.New("a record that was an event is none any more")
		}
	}
}

// askFor bounds a question to the vault while records can be held, and askEvery parts two of them when it does not answer.
const (
	askFor   = 2 * time.Second
	askEvery = time.Second
)

// resolve has the cache learn the people of records. Without hold it tries again until the vault answers or ctx ends.
func (o *observer) resolve(ctx context.Context, records []kafkaio.Record, hold bool) error {
	for {
		valid := o.cache.LeaseValid()
		o.answered = o.answered || valid
		// At a start the cache has not had the time to ask the vault.
		if hold && o.answered && (!valid || time.Now().Before(o.askAgain)) {
			return errAway
		}
		late := o.cache.Late()
		o.missing = o.missing[:0]
		clear(o.asked)
		for i := range records {
			if len(o.missing) >= maxAhead {
				break
			}
			o.note(&records[i], late)
		}
		err := o.ask(ctx, late, hold)
		if errors.Is(err, vault.ErrDamaged) && len(records) > 1 {
			// Somebody's row does not open. It matters only if this very record names that person.
			records = records[:1]
			continue
		}
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, vault.ErrDamaged):
			return err
		case hold:
			o.askAgain = time.Now().Add(askEvery)
			return errAway
		}
		if err := o.retry(ctx, err); err != nil {
			return err
		}
	}
}

func (o *observer) ask(ctx context.Context, late vault.Late, hold bool) error {
	if hold {
		bounded, cancel := context.WithTimeout(ctx, askFor)
		defer cancel()
		ctx = bounded
	}
	return o.cache.Resolve(ctx, o.missing, late)
}

// note adds the user of a record to those who are missing.
func (o *observer) note(rec *kafkaio.Record, late vault.Late) {
	if rec.CutBytes > 0 || o.parser.Parse(rec.Value, &o.event) != nil || !o.event.Has(events.FieldUserID) {
		return
	}
	tenant, user := o.value(events.FieldTenant), o.value(events.FieldUserID)
	hash := o.hasher.Hash(tenant, user)
	if _, asked := o.asked[hash]; asked {
		return
	}
	if gone := late.Suppressed(hash); gone != nil && gone.Covers(o.place, rec.Offset, o.event.TimeMicros()) {
		return
	}
	if _, known := o.cache.Pseudonym(hash); known {
		return
	}
	o.asked[hash] = struct{}{}
	o.missing = append(o.missing, vault.Identity{Tenant: string(tenant), User: string(user)})
}

// newObserver makes what observes the records of a partition.
func (d *Detector) newObserver(number int, cache *vault.Cache) *observer {
	key := observe.NewKey(d.deps.Vault.SearchKey())
	o := &observer{
		key:       key,
		partition: int32(number), place: place(d.cfg.EventsTopic, number), cache: cache, hasher: cache.NewHasher(),
		inspector: inspect.New(d.deps.Scanner), matcher: d.deps.Rules.Matcher(), filler: observe.New(key),
		seed: d.seed, heldGauge: d.metrics.held.WithLabelValues(place(d.cfg.EventsTopic, number)), parser: events.NewParser(), asked: map[vault.LookupHash]struct{}{},
		retry: func(ctx context.Context, err error) error {
			d.deps.Log.Warn("the vault is away and no more newcomers can be held: the partition waits", "partition", number, "error", err)
			d.metrics.waits.Inc()
			pause(ctx, time.Second)
			return ctx.Err()
		},
	}
	return o
}
