package detector

import (
	"crypto/sha256"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// updateEvery parts two revisions of a provisional incident that only grows, so that a flood of events does not become one of alerts.
const updateEvery = 10 * time.Second

// rememberedFor is how long, in the events' time, incidents are remembered after their last event. Replays go back less.
const rememberedFor = 7 * 24 * time.Hour

// said is what was said of each incident on the topic of alerts: read from there at the start, kept up afterwards. With it a replay is silent where an alert
// was raised before, and revisions go on counting. It belongs to one goroutine.
type said struct {
	known   map[uuid.UUID]*utterance
	waiting map[uuid.UUID]anomaly.Incident // provisional ones that were said a moment ago and have grown since
	latest  time.Time                      // of all incidents' last events
	orders  map[[16]byte]struct{}          // that were heard, by event id
}

type utterance struct {
	revision uint32
	status   anomaly.Status
	severity anomaly.Severity
	last     time.Time
	events   uint64
	digest   [sha256.Size]byte
	at       time.Time // by this machine's clock; zero: by an earlier turn

	falsePositive bool // somebody has said so, which counts once however often it is said

	// Whom it is about, for answers to it.
	tenant  string
	kind    anomaly.EntityKind
	subject [16]byte
	entity  string
	signals []string
}

func newSaid() *said {
	return &said{known: map[uuid.UUID]*utterance{}, waiting: map[uuid.UUID]anomaly.Incident{}, orders: map[[16]byte]struct{}{}}
}

// digest tells whether two revisions say the same.
func digest(in anomaly.Incident) ([sha256.Size]byte, error) {
	in.Revision = 1
	text, err := anomaly.MarshalIncident(&in)
	return sha256.Sum256(text), err
}

// heard notes a revision that stands on the topic.
func (s *said) heard(in *anomaly.Incident, at time.Time) error {
	sum, err := digest(*in)
	if err != nil {
		return err
	}
	before := s.known[in.ID]
	if before != nil && before.revision > in.Revision {
		return nil // another detector's, from before it knew that the turn was lost
	}
	u := &utterance{
		revision: in.Revision, status: in.Status, severity: in.Severity, last: in.Last, events: in.EventCount, digest: sum, at: at,
		tenant: in.Tenant, kind: in.Kind, subject: in.Subject, entity: in.Entity,
	}
	for i := range in.Signals {
		u.signals = append(u.signals, in.Signals[i].Name)
	}
	u.falsePositive = before != nil && before.falsePositive
	s.known[in.ID] = u
	if in.Last.After(s.latest) {
		s.latest = in.Last
	}
	return nil
}

// next says whether an incident is to be said now, and gives it its revision if so. What may be said later is kept until due.
func (s *said) next(in *anomaly.Incident, now time.Time) (bool, error) {
	u := s.known[in.ID]
	if u == nil {
		if in.Status == anomaly.Withdrawn {
			return false, nil // nobody has heard of it
		}
		in.Revision = 1
		return true, nil
	}
	in.Revision = u.revision + 1
	switch {
	case in.Status == anomaly.Provisional && u.status != anomaly.Provisional && in.Severity <= u.severity:
		return false, nil // a replay: it is decided. A graver one is not: it goes on, and minutes that are open make it so
	case in.Status == anomaly.Final && u.status == anomaly.Final && !in.Last.After(u.last) && in.EventCount <= u.events && in.Severity <= u.severity:
		return false, nil // a replay, which has not come as far again
	case in.Status == anomaly.Provisional && in.Severity <= u.severity && in.EventCount <= u.events:
		return false, nil // a replay as well
	case in.Status == anomaly.Provisional && in.Severity <= u.severity && now.Sub(u.at) < updateEvery:
		s.waiting[in.ID] = *in
		return false, nil
	}
	delete(s.waiting, in.ID)
	sum, err := digest(*in)
	return err == nil && sum != u.digest, err
}

// directive returns what an order means to the engine, and false if it is about an incident that nobody remembers.
func (s *said) directive(o *alert.Order) (anomaly.Directive, bool) {
	d := anomaly.Directive{
		At: o.At.UnixMicro(), Until: o.Until.UnixMicro(), Tenant: o.Tenant, Of: o.Kind, Subject: o.Subject, Entity: o.Entity, Incident: o.Incident,
	}
	if o.Signal != "" {
		d.Signals = []string{o.Signal}
	}
	switch o.Verb {
	case alert.Suppress:
		d.Kind = anomaly.Suppress
		return d, true
	case alert.Unsuppress:
		d.Kind = anomaly.Lift
		return d, true
	}
	u := s.known[o.Incident]
	if u == nil {
		return d, false
	}
	d.Tenant, d.Of, d.Subject, d.Entity = u.tenant, u.kind, u.subject, u.entity
	switch o.Verb {
	case alert.Acknowledge:
		d.Kind = anomaly.Acknowledge
	case alert.FalsePositive:
		if u.falsePositive {
			return d, false
		}
		u.falsePositive = true
		d.Kind, d.Signals = anomaly.FalsePositive, u.signals
	case alert.Snooze:
		d.Kind = anomaly.Suppress
	}
	return d, true
}

// maxOrders bounds what is remembered of orders; people do not say that much in the time in which an order is taken (see staleAfter).
const maxOrders = 10_000

// first says whether an order is heard for the first time. Kafka may have it twice, or somebody may have written it there again.
func (s *said) first(id [16]byte) bool {
	if _, heard := s.orders[id]; heard {
		return false
	}
	if len(s.orders) >= maxOrders {
		clear(s.orders)
	}
	s.orders[id] = struct{}{}
	return true
}

// due returns those that have waited long enough.
func (s *said) due(now time.Time) []anomaly.Incident {
	var due []anomaly.Incident
	for id, in := range s.waiting {
		if u := s.known[id]; u == nil || now.Sub(u.at) >= updateEvery {
			due = append(due, in)
			delete(s.waiting, id)
		}
	}
	return due
}

// forget drops incidents of a person who was erased.
func (s *said) forget(subject [16]byte) {
	for id := range s.waiting {
		if s.waiting[id].Subject == subject {
			delete(s.waiting, id)
		}
	}
	for id, u := range s.known {
		if u.subject == subject {
			delete(s.known, id)
		}
	}
}

// trim drops what no replay can reach any more.
func (s *said) trim() {
	for id, u := range s.known {
		if s.latest.Sub(u.last) > rememberedFor {
			delete(s.known, id)
		}
	}
}
