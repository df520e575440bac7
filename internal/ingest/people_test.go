package ingest

import (
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

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

// eventOf is an event of a user.
func eventOf(user string) []byte {
	return []byte(`{"schema":"agentaudit.event/v1","event_id":"01980000-0000-7000-8000-000000000001","time":"2026-11-20T21:14:05Z","type":"tool.call","action":"x",` +
		`"outcome":"success","tenant":"acme","user_id":"` + user + `"}`)
}
