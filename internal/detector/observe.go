package detector

import (
	"context"
	"errors"
	"hash/maphash"
	"time"

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
	seed      maphash.Seed // of Observation.Digest

	parser *events.Parser
	event  events.Event

	missing []vault.Identity
	asked   map[vault.LookupHash]struct{}

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

	// What observations point into.
	findings []scan.Finding
	matches  []int
}

// observe fills b from records. It returns an error only when ctx ends: while the vault is away, newcomers wait, and what lies behind them.
func (o *observer) observe(ctx context.Context, records []kafkaio.Record, b *batch) error {
	b.observations, b.findings, b.matches, b.rejected = b.observations[:0], b.findings[:0], b.matches[:0], 0
	b.counted = familyCounts{}
	for i := range records {
		rec := &records[i]
		if rec.CutBytes > 0 || o.parser.Parse(rec.Value, &o.event) != nil || o.event.Reserved() {
			b.rejected++
			continue
		}
		subject, err := o.who(ctx, records[i:])
		if err != nil {
			return err
		}
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
		b.counted.add(o.event.Raw(events.FieldType), o.event.Outcome())
	}
	return nil
}

func (o *observer) value(f events.Field) []byte { return o.filler.Value(&o.event, f) }

// fill copies what is to be seen of the event that was parsed last.
func (o *observer) fill(ob *anomaly.Observation, rec *kafkaio.Record) {
	o.filler.Fill(ob, &o.event)
	ob.Partition, ob.Offset, ob.Recorded = o.partition, rec.Offset, recorded(rec.TimeMillis, time.Now())
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
// Newcomers are resolved together with those of the records behind them.
func (o *observer) who(ctx context.Context, records []kafkaio.Record) (subject [16]byte, err error) {
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
		if err := o.resolve(ctx, records); err != nil {
			return subject, err
		}
		if o.parser.Parse(records[0].Value, &o.event) != nil {
			return subject, errors.New("a record that was an event is none any more")
		}
	}
}

// resolve has the cache learn the people of records. It tries again until the vault answers or ctx ends.
func (o *observer) resolve(ctx context.Context, records []kafkaio.Record) error {
	for {
		late := o.cache.Late()
		o.missing = o.missing[:0]
		clear(o.asked)
		for i := range records {
			if len(o.missing) >= maxAhead {
				break
			}
			o.note(&records[i], late)
		}
		err := o.cache.Resolve(ctx, o.missing, late)
		if errors.Is(err, vault.ErrDamaged) && len(records) > 1 {
			// Somebody's row does not open. It matters only if this very record names that person.
			records = records[:1]
			continue
		}
		if err == nil {
			return nil
		}
		if err := o.retry(ctx, err); err != nil {
			return err
		}
	}
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
