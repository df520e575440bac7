// Package systemlog has our own processes say something in the log: a signed record on the topic of system records, which ingest seals like any other.
package systemlog

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Tenant stands in records that belong to no tenant of the deployment.
const Tenant = author.Tenant

const (
	// sealedWithin bounds the wait for ingest and exporter, which take about a second.
	sealedWithin = 5 * time.Minute
	// poll is how often they are asked.
	poll = 100 * time.Millisecond
)

// ErrNotSealed: a record was sent, and did not get into the log in time. It may still. Saying the same again goes on from there.
var ErrNotSealed = errors.New("what was to be said in the log was not sealed and signed in time: are ingest and exporter running?")

// Place is where a record stands.
type Place struct {
	Log string
	Seq uint64
}

// Deps are the systems that a Speaker works with. It closes none of them.
type Deps struct {
	Kafka  *kafkaio.Client
	Store  *store.Store
	Vault  *vault.Vault
	Author *author.Author // registered in the vault
	Topic  string         // of system records
}

// Speaker says something in the log. It is safe for concurrent use.
type Speaker struct{ deps Deps }

// New returns a Speaker.
func New(deps Deps) *Speaker { return &Speaker{deps} }

// Author returns the name under which the Speaker signs.
func (s *Speaker) Author() string { return s.deps.Author.Name() }

// Say has a record sealed and returns where. It is known by its event id: what stands in the log already is not said again, so a call whose outcome is
// unknown can be repeated. (Two calls at one time may say it twice, which `verify` notes.)
func (s *Speaker) Say(ctx context.Context, record events.Record) (Place, error) {
	places, err := s.SayAll(ctx, []events.Record{record})
	if err != nil {
		return Place{}, err
	}
	return places[0], nil
}

// SayAll is Say for several records, which are sealed in this order. Their event ids must differ.
func (s *Speaker) SayAll(ctx context.Context, records []events.Record) ([]Place, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sealedWithin, ErrNotSealed)
	defer cancel()
	ids := make([][16]byte, len(records))
	for i := range records {
		ids[i] = [16]byte(records[i].EventID)
	}
	for sent := false; ; sent = true {
		places, err := s.places(ctx, ids)
		if err != nil {
			return nil, err
		}
		if len(places) == len(records) {
			inOrder := make([]Place, len(ids))
			for i, id := range ids {
				inOrder[i] = places[id]
			}
			return inOrder, nil
		}
		if !sent {
			if err := s.send(ctx, records, places); err != nil {
				return nil, err
			}
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// places returns where records stand that one of our own processes has signed.
func (s *Speaker) places(ctx context.Context, ids [][16]byte) (map[[16]byte]Place, error) {
	found, err := s.deps.Store.SystemPlaces(ctx, ids)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	authors, err := s.deps.Vault.Authors(ctx)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]ed25519.PublicKey, len(authors))
	for _, a := range authors {
		keys[a.Name] = a.Key
	}
	places := make(map[[16]byte]Place, len(found))
	var entry chain.Entry
	for _, f := range found {
		if _, twice := places[f.EventID]; twice {
			continue
		}
		if chain.ParseEntry(f.Entry, &entry) == nil && gdpr.VerifySystem(keys[entry.Author], entry.Event, entry.Signature) {
			places[f.EventID] = Place{f.Log, f.Seq}
		}
	}
	return places, nil
}

// SayCovered is Say, and waits until a signed checkpoint covers the record: from then on nobody can say that it was never said.
func (s *Speaker) SayCovered(ctx context.Context, record events.Record) (Place, error) {
	place, err := s.Say(ctx, record)
	if err != nil {
		return Place{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, sealedWithin, ErrNotSealed)
	defer cancel()
	for {
		point, _, err := s.deps.Vault.Checkpoint(ctx, place.Log)
		if err != nil || point.Size > place.Seq {
			return place, err
		}
		if err := pause(ctx); err != nil {
			return Place{}, err
		}
	}
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send sends those of the records that do not stand in the log.
func (s *Speaker) send(ctx context.Context, records []events.Record, stand map[[16]byte]Place) error {
	messages := make([]kafkaio.Message, 0, len(records))
	for _, record := range records {
		if _, ok := stand[[16]byte(record.EventID)]; ok {
			continue
		}
		record.Tenant, record.Agent.ID = Tenant, s.Author()
		text, err := record.AppendJSON(nil)
		if err != nil {
			return fmt.Errorf("make a record of type %s: %w", record.Type, err)
		}
		messages = append(messages, s.deps.Author.Message(text))
	}
	return s.deps.Kafka.Produce(ctx, s.deps.Topic, messages)
}
