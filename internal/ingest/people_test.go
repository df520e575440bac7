package ingest

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// One person's row in the vault does not open: records that name others are sealed as ever, also those just before it, and only one that names that person
// stops.
func TestDamagedPersonStopsOnlyTheirRecords(t *testing.T) {
	keys, err := vault.CreateKeyring(t.Context(), vault.KeyConfig{Source: "file:" + filepath.Join(t.TempDir(), "keyring")})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vault.db")
	v, err := vault.Open(t.Context(), vault.Config{Driver: vault.DriverSQLite, DSN: path, Deployment: "test"}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	damaged, err := v.Subjects(t.Context(), []vault.Identity{{Tenant: "acme", User: "mallory"}})
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(t.Context(), `UPDATE subjects SET keys = identity WHERE id = ?`, damaged[0].ID[:]); err != nil {
		t.Fatal(err)
	}

	p := newPeople(newCache(t, v), "t/0", patience{log: slog.New(slog.DiscardHandler), retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "retries"})})
	s := new(recordSealer)
	batch := []kafkaio.Record{{Value: eventOf("alice")}, {Value: eventOf("mallory")}, {Value: eventOf("bob")}}
	for i := range batch {
		if err := p.parser.Parse(batch[i].Value, &s.event); err != nil {
			t.Fatal(err)
		}
		err := p.lookUp(t.Context(), s, &batch[i], batch[i+1:])
		if want := i == 1; errors.Is(err, errVault) != want || !want && err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
}

// blocked tells when somebody begins to wait for the end of a context.
type blocked struct {
	context.Context
	once    *sync.Once
	waiting chan struct{}
}

func (b blocked) Done() <-chan struct{} {
	b.once.Do(func() { close(b.waiting) })
	return b.Context.Done()
}

// Somebody is erased after ingest has noted to ask for them, and while it waits for the vault: the record from before does not bring them back.
func TestErasedWhileIngestWaitsForTheVault(t *testing.T) {
	v := newVault(t)
	mia := vault.Identity{Tenant: "acme", User: "mia"}
	subjects, err := v.Subjects(t.Context(), []vault.Identity{mia})
	if err != nil {
		t.Fatal(err)
	}
	cache, err := vault.NewCache(v, vault.CacheConfig{MaxSubjects: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	p := newPeople(cache, "t/0", patience{log: slog.New(slog.DiscardHandler), retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "retries"})})
	s := new(recordSealer)
	rec := kafkaio.Record{Value: eventOf("mia")}
	if err := p.parser.Parse(rec.Value, &s.event); err != nil {
		t.Fatal(err)
	}
	ctx := blocked{t.Context(), new(sync.Once), make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- p.lookUp(ctx, s, &rec, nil) }() // ends with the lease that is to come, or ctx
	<-ctx.waiting
	now := time.Now()
	if _, found, err := v.Erase(t.Context(), vault.Erasure{
		Request: [16]byte{1}, Subject: subjects[0].ID, At: now, Suppression: vault.Suppression{Until: now, Expires: now.Add(time.Hour)},
	}); err != nil || !found {
		t.Fatal(found, err)
	}
	running(t, cache)
	if err := <-done; err != nil || !s.subject.nobody {
		t.Errorf("the record is somebody's: %v", err)
	}
	if _, found, err := v.Find(t.Context(), mia); err != nil || found {
		t.Errorf("created again by a record from before: %v", err)
	}
}

// eventOf is an event of a user.
func eventOf(user string) []byte {
	return []byte(`{"schema":"agentaudit.event/v1","event_id":"01980000-0000-7000-8000-000000000001","time":"2026-11-20T21:14:05Z","type":"tool.call","action":"x",` +
		`"outcome":"success","tenant":"acme","user_id":"` + user + `"}`)
}
