package vault

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
)

// asBefore makes the vault what the version before MACs has left: no MACs, and secrets without a key for them.
func (o *ordering) asBefore() {
	o.t.Helper()
	for _, table := range macTables() {
		o.attack(`UPDATE ` + table.name + ` SET mac = NULL`)
	}
	w, err := o.keys.wrapper(o.t.Context(), int(o.generation.Load()))
	if err != nil {
		o.t.Fatal(err)
	}
	o.attack(`UPDATE deployment SET secrets = ?`, w.wrap(purposeDeployment, []byte(o.deployment), slices.Concat(o.secrets.search[:], o.secrets.lookup[:])))
}

// Rows from before are given MACs once, by the first of all that open the vault.
func TestRowsFromBeforeAreAdoptedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.asBefore()
		opened := make([]*Vault, 4)
		var wg sync.WaitGroup
		for i := range opened {
			wg.Go(func() {
				var err error
				if opened[i], err = Open(t.Context(), cfg, o.keys); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, v := range opened {
			if v == nil {
				t.FailNow()
			}
			if v.secrets != opened[0].secrets || v.secrets.rows == o.secrets.rows || v.secrets.lookup != o.secrets.lookup {
				t.Error("other secrets")
			}
			if list, err := v.Forged(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("%v, %v", list, err)
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// asFirst makes the vault what the first version with MACs has left: none in the tables that have got them since.
func (o *ordering) asFirst() {
	o.t.Helper()
	for _, table := range macTables() {
		if table.since > firstMACs {
			o.attack(`UPDATE ` + table.name + ` SET mac = NULL`)
		}
	}
	w, err := o.keys.wrapper(o.t.Context(), int(o.generation.Load()))
	if err != nil {
		o.t.Fatal(err)
	}
	o.attack(`UPDATE deployment SET secrets = ?`, w.wrap(purposeDeployment, []byte(o.deployment), slices.Concat(o.secrets.search[:], o.secrets.lookup[:], o.secrets.rows[:])))
}

// Tables that have got MACs later are given them once as well, under the key that there is, and rows that had MACs before are not touched.
func TestLaterTablesAreAdoptedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.asFirst()
		o.attack(`UPDATE holds SET reason = 'another'`)
		again := openVault(t, cfg, o.keys)
		if again.secrets != o.secrets {
			t.Error("other secrets")
		}
		o.wantForged("holds")
		o.attack(`UPDATE log_generations SET mac = NULL`)
		again = openVault(t, cfg, o.keys)
		if list, err := again.Forged(t.Context()); err != nil || len(list) != 2 {
			t.Errorf("without a MAC: %v, %v", list, err)
		}
		o.asFirst()
		for _, table := range []string{"suppressions", tableDetectorStates} {
			o.attack(`UPDATE `+table+` SET mac = ?`, make([]byte, rowMACBytes))
			if _, err := Open(t.Context(), cfg, o.keys); !errors.Is(err, ErrForged) {
				t.Errorf("secrets from before beside MACs of %s: %v", table, err)
			}
			o.attack(`UPDATE ` + table + ` SET mac = NULL`)
		}
		// What a later version has written is not touched.
		later := o.secrets
		later.adopted++
		w, err := o.keys.wrapper(t.Context(), int(o.generation.Load()))
		if err != nil {
			t.Fatal(err)
		}
		o.attack(`UPDATE deployment SET secrets = ?`, later.wrapped(w, o.deployment))
		if _, err := Open(t.Context(), cfg, o.keys); err == nil || !strings.Contains(err.Error(), "later version") {
			t.Errorf("a vault of a later version: %v", err)
		}
	})
}

// Whoever has no keyring cannot have it done again: not by removing the MACs, nor the deployment, nor by putting back secrets from before over rows that have MACs.
func TestNobodyAdoptsAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.attack(`UPDATE holds SET mac = NULL`)
		again := openVault(t, cfg, o.keys)
		if list, err := again.Forged(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("without MACs: %v, %v", list, err)
		}
		o.asBefore()
		o.attack(`UPDATE holds SET mac = ?`, make([]byte, 33))
		if _, err := Open(t.Context(), cfg, o.keys); !errors.Is(err, ErrForged) {
			t.Errorf("secrets from before beside MACs: %v", err)
		}
		for _, table := range macTables() {
			o.attack(`UPDATE ` + table.name + ` SET mac = NULL`)
		}
		o.attack(`DELETE FROM deployment`)
		anew := openVault(t, cfg, o.keys)
		if list, err := anew.Forged(t.Context()); err != nil || len(list) < len(macTables()) {
			t.Errorf("without a deployment: %v, %v", list, err)
		}
	})
}

// earlierVault is a database of an earlier version of the schema, with a deployment of that time.
type earlierVault struct {
	t       *testing.T
	db      *database
	keys    *Keyring
	wrapper *wrapper
}

// newVaultOf makes one of a version, whose deployment's secrets had so many bytes.
func newVaultOf(t *testing.T, cfg Config, version int64, secretsBytes int) *earlierVault {
	t.Helper()
	db, err := openDatabase(Config{Driver: cfg.Driver, DSN: cfg.DSN, Timeout: defaultTimeout})
	if err != nil {
		t.Fatal(err)
	}
	engine, files, err := db.migrations()
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(engine, db.write, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	keys, _ := newKeyring(t)
	w, err := keys.wrapper(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	e := &earlierVault{t, db, keys, w}
	e.exec(insertDeployment, cfg.Deployment, 1, w.wrap(purposeDeployment, []byte(cfg.Deployment), bytes.Repeat([]byte{1}, secretsBytes)))
	e.exec(insertFingerprint, 1, w.fingerprint())
	return e
}

func (e *earlierVault) exec(statement string, args ...any) {
	e.t.Helper()
	if _, err := e.db.exec(e.t.Context(), statement, args...); err != nil {
		e.t.Fatal(err)
	}
}

// The migration itself, with rows of the version before.
func TestMigrationToMACs(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		before := newVaultOf(t, cfg, 11, 64)
		before.exec(`INSERT INTO holds (id, subject, reason, author, at_micros, expires_micros) VALUES (?, ?, 'r', 'a', 5, 0)`, make([]byte, 16), make([]byte, 16))
		request := newUUID()
		before.exec(`INSERT INTO requests (id, caller, kind, state, wrapped, identity, options, verified_by, received_micros, due_micros, changed_micros)
			VALUES (?, 'c', 'erasure', 'verified', 1, ?, '{}', 'operator', 1, 2, 3)`, request[:], before.wrapper.wrap(purposeRequest, request[:], Identity{"acme", "mia"}.encode()))
		if err := before.db.close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			v := openVault(t, cfg, before.keys)
			if list, err := v.Holds(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("%v, %v", list, err)
			}
			list, err := v.OpenRequests(t.Context(), time.Now())
			if err != nil || len(list) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			if who, ok, err := v.RequestIdentity(t.Context(), list[0]); err != nil || !ok || who.User != "mia" {
				t.Errorf("%v, %v, %v", who, ok, err)
			}
		}
	})
}

// The migration of the tables that have got MACs later, with rows of the version before, and as many states of the detector as two pages have.
func TestMigrationToMoreMACs(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		before := newVaultOf(t, cfg, 14, 96)
		before.exec(`INSERT INTO suppressions (lookup, until_micros, offsets, forever, expires_micros) VALUES (?, 1, '{"events/0":5}', 1, 2)`, make([]byte, 32))
		before.exec(`INSERT INTO log_generations (topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros)
			VALUES ('events', 0, 1, 'events/0.1', 'events/0', 5, ?, 9, 'r', 1)`, make([]byte, 32))
		before.exec(`INSERT INTO breaches (id, reason, detected_micros, due_micros, opened_micros, scope, opening, notices) VALUES (?, 'r', 1, 2, 3, '{}', '[]', 1)`, make([]byte, 16))
		before.exec(`INSERT INTO breach_notices (breach, number, addressee, reference, at_micros) VALUES (?, 1, 'subjects', 'letter', 1)`, make([]byte, 16))
		before.exec(`INSERT INTO notices (id, kind, part, revision, severity, status, summarised, tenant, at_micros, changed_micros, body) VALUES (?, 'incident', 0, 1, 1, 'final', 0, '', 1, 1, '{}')`, make([]byte, 16))
		before.exec(`INSERT INTO notice_posts (notice, target, pending, waiting_micros) VALUES (?, 'webhook', 3, 1)`, make([]byte, 16))
		before.exec(`UPDATE detector_snapshot SET version = 1, term = 1, places = '{"events/0":9}'`)
		const states = statesPerRead + 10
		before.exec(`WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < `+fmt.Sprint(states)+`)
			INSERT INTO detector_states (id, version, subject, state) SELECT `+map[string]string{DriverSQLite: "CAST(n AS BLOB)", DriverPostgres: "n::text::bytea"}[cfg.Driver]+`, 1, NULL, ? FROM more`,
			[]byte("learned"))
		if err := before.db.close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			v := openVault(t, cfg, before.keys)
			if list, err := v.Forged(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("%v, %v", list, err)
			}
			if all, err := v.suppressed(t.Context(), v.db.read, nil); err != nil || len(all) != 1 || !all[LookupHash{}].Forever || all[LookupHash{}].Offsets["events/0"] != 5 {
				t.Errorf("%+v, %v", all, err)
			}
			if g, err := v.CurrentLog(t.Context(), "events", 0); err != nil || g.Generation != 1 || g.FirstOffset != 9 {
				t.Errorf("%+v, %v", g, err)
			}
			if list, err := v.BreachDeadlines(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("%+v, %v", list, err)
			}
			if p, ok, err := v.NextPost(t.Context(), "webhook", 0, at); err != nil || !ok || p.Notice.Body != "{}" {
				t.Errorf("%+v, %v", p, err)
			}
			loaded := 0
			places, err := v.LoadDetector(t.Context(), func(DetectorState) error { loaded++; return nil }, nil)
			if err != nil || loaded != states || places["events/0"] != 9 {
				t.Errorf("%d states at %v, %v", loaded, places, err)
			}
		}
	})
}
