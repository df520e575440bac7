package ingest

import (
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// maxAhead bounds how many unknown people are asked for in one round trip to the
// vault. A cache takes in a quarter of its size at once, and the smallest that can
// be configured holds 8,192.
const maxAhead = 2048

// scratchBytes holds an identity without escapes; the parser's bounds are below it.
const scratchBytes = 2048

// people finds the pseudonyms and keys of those whom an event names. It belongs to
// one goroutine; the cache behind it is shared.
type people struct {
	cache  *vault.Cache
	hasher *vault.Hasher
	wait   patience

	// For reading ahead when the vault has to be asked.
	parser  *events.Parser
	event   events.Event
	missing []vault.Identity
	asked   map[vault.LookupHash]struct{}
	late    vault.Late // what missing was collected by

	tenant, name []byte
	partition    string // whose records are read, `<topic>/<partition>`
}

func newPeople(cache *vault.Cache, partition string, wait patience) *people {
	return &people{
		partition: partition,
		cache:     cache, hasher: cache.NewHasher(), wait: wait,
		parser: events.NewParser(), asked: make(map[vault.LookupHash]struct{}, maxAhead),
		tenant: make([]byte, 0, scratchBytes), name: make([]byte, 0, scratchBytes),
	}
}

// user is the unescaped user_id; empty if the event has none.
func (p *people) user(ev *events.Event) []byte {
	if !ev.Has(events.FieldUserID) {
		return nil
	}
	return ev.Value(events.FieldUserID, p.name)
}

// lookUp fills s.subject and s.others. It fails only when ctx ends: while the vault
// is away nothing may be sealed.
func (p *people) lookUp(ctx context.Context, s *recordSealer, rec *kafkaio.Record, ahead []kafkaio.Record) error {
	for {
		if p.cached(s, rec.Offset) {
			return nil
		}
		if err := p.resolve(ctx, rec, ahead); err != nil {
			return err
		}
	}
}

// cached fills s from the cache; false if somebody is missing or the lease has run out.
//
// Who was erased is nobody in records from before: neither a pseudonym nor keys, and so no content.
func (p *people) cached(s *recordSealer, offset int64) bool {
	ev := &s.event
	p.tenant = append(p.tenant[:0], ev.Value(events.FieldTenant, p.tenant)...)
	user := p.hasher.Hash(p.tenant, p.user(ev))
	if s.subject.nobody = p.erased(p.cache.Late(), user, ev, offset); !s.subject.nobody && !p.cache.Get(user, &s.subject.CachedSubject) {
		return false
	}
	s.others = s.others[:0]
	for i := range ev.NumDataSubjects() {
		if !p.add(s, ev.DataSubject(i, p.name), roleDataSubject, offset) {
			return false
		}
	}
	if ev.Has(events.FieldApprovalApprover) && !p.add(s, ev.Value(events.FieldApprovalApprover, p.name), roleApprover, offset) {
		return false
	}
	// Nobody may have been found by a lease that has run out.
	return p.cache.LeaseValid()
}

func (p *people) add(s *recordSealer, name []byte, r role, offset int64) bool {
	hash := p.hasher.Hash(p.tenant, name)
	s.others = append(s.others, person{role: r, nobody: p.erased(p.cache.Late(), hash, &s.event, offset)})
	other := &s.others[len(s.others)-1]
	return other.nobody || p.cache.Get(hash, &other.CachedSubject)
}

// erased says whether a person was erased, as far as is known, and the record at an offset is from before that.
func (p *people) erased(known vault.Late, hash vault.LookupHash, ev *events.Event, offset int64) bool {
	suppression := known.Suppressed(hash)
	return suppression != nil && suppression.Covers(p.partition, offset, ev.TimeMicros())
}

// resolve has the cache learn the people of rec and of the records behind it, in one
// round trip. It tries again until the vault answers or ctx ends.
func (p *people) resolve(ctx context.Context, rec *kafkaio.Record, ahead []kafkaio.Record) error {
	p.missing = p.missing[:0]
	clear(p.asked)
	p.late = p.cache.Late()
	p.collect(rec)
	for i := range ahead {
		if len(p.missing) >= maxAhead {
			break
		}
		p.collect(&ahead[i])
	}
	return p.wait.ask(ctx, "people", func() error {
		if err := p.cache.AwaitLease(ctx); err != nil {
			return err
		}
		err := p.cache.Resolve(ctx, p.missing, p.late)
		if errors.Is(err, vault.ErrDamaged) {
			// Somebody's row does not open; all the others are cached now. It matters only if this very record names that person.
			p.missing = p.missing[:0]
			clear(p.asked)
			p.collect(rec)
			err = p.cache.Resolve(ctx, p.missing, p.late)
		}
		return err
	})
}

// collect notes whom a record names and the cache does not know.
func (p *people) collect(rec *kafkaio.Record) {
	ev := &p.event
	if rec.CutBytes > 0 || p.parser.Parse(rec.Value, ev) != nil {
		return
	}
	p.tenant = append(p.tenant[:0], ev.Value(events.FieldTenant, p.tenant)...)
	p.note(p.user(ev), rec.Offset)
	for i := range ev.NumDataSubjects() {
		p.note(ev.DataSubject(i, p.name), rec.Offset)
	}
	if ev.Has(events.FieldApprovalApprover) {
		p.note(ev.Value(events.FieldApprovalApprover, p.name), rec.Offset)
	}
}

func (p *people) note(name []byte, offset int64) {
	hash := p.hasher.Hash(p.tenant, name)
	if _, asked := p.asked[hash]; asked || p.erased(p.late, hash, &p.event, offset) {
		return
	}
	var known vault.CachedSubject
	if p.cache.Get(hash, &known) {
		known.Keys.Wipe()
		return
	}
	p.asked[hash] = struct{}{}
	p.missing = append(p.missing, vault.Identity{Tenant: string(p.tenant), User: string(name)})
}
