package vault

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// uncovered are the columns that MACs leave out, and mac itself: they only say when somebody looks again, or open at their own row only.
var uncovered = map[string][]string{
	"requests": {"wrapped", "identity", "resume_micros", "claimed_micros"}, "api_keys": {"used_micros"}, "exports": {"wrapped", "secret", "events", "total"},
	"consent_changes": {"reference"}, "outbox": {"claimed_micros"}, "detector_snapshot": {"one"}, // which cannot be anything else
}

// ordering is a vault with a row in each table whose rows have MACs.
type ordering struct {
	*Vault
	t       *testing.T
	people  []Subject
	request Request
	mu      sync.Mutex
	forged  map[string]bool // tables of rows that were reported
	turn    *Turn           // of the detector
}

func newOrdering(t *testing.T, cfg Config) *ordering {
	t.Helper()
	o := &ordering{t: t, forged: map[string]bool{}}
	cfg.Forged = func(e *ForgedError) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.forged[e.Table] = true
	}
	o.Vault = newVault(t, cfg)
	o.fill()
	return o
}

func (o *ordering) fill() {
	o.t.Helper()
	ctx := o.t.Context()
	check := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	ids := people(0, 4)
	o.people = subjectsOf(o.t, o.Vault, ids...)
	o.request = working(o.t, o.Vault, 1, ids[0])
	check(o.NoteSubject(ctx, o.request.ID, o.people[0].ID))
	attempt := Export{Request: o.request.ID, Attempt: [16]byte{3}, Subject: o.people[0].ID}
	if begun, err := o.BeginExport(ctx, attempt, []byte("secret")); err != nil || !begun {
		o.t.Fatal(begun, err)
	}
	_, err := o.AddAPIKey(ctx, APIKey{ID: [16]byte{4}, Hash: [32]byte{4}, Role: "auditor", Tenant: "acme", Name: "n", Added: at, Expires: time.Now().Add(time.Hour)})
	check(err)
	check(o.AddAuthor(ctx, Author{"exporter-1", ed25519.PublicKey(bytes.Repeat([]byte{5}, 32))}))
	check(o.AddHold(ctx, Hold{ID: [16]byte{6}, Subject: o.people[1].ID, Reason: "case 12", Author: "counsel", At: at}, Saying{EventID: [16]byte{7}, At: at, Record: `{}`}))
	found, err := o.Restrict(ctx, o.people[1].ID, [16]byte{8}, at)
	if check(err); !found {
		o.t.Fatal("nobody restricted")
	}
	_, _, _, err = o.ChangeConsent(ctx, ids[1], ConsentChange{ID: [16]byte{9}, Purpose: "marketing", State: gdpr.ConsentGranted, At: at, Reference: "form 12"},
		func(gdpr.SubjectID) (Saying, error) { return Saying{EventID: [16]byte{10}, At: at, Record: `{}`}, nil })
	check(err)
	if _, gone, err := o.Erase(ctx, Erasure{Request: [16]byte{11}, Subject: o.people[3].ID, At: at, Weighed: [][16]byte{{6}}, Suppression: Suppression{Until: at, Expires: at}}); err != nil || !gone {
		o.t.Fatal(gone, err)
	}
	o.fillLater()
}

// fillLater fills the tables that have MACs since version 15.
func (o *ordering) fillLater() {
	o.t.Helper()
	ctx := o.t.Context()
	check := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	check(o.Reopen(ctx, 0, Generation{
		Topic: "events", Partition: 3, Generation: 1, Log: "events/3.1", Predecessor: "events/3", PredecessorSize: 9, PredecessorHead: chain.Hash{5}, FirstOffset: 12,
		Reason: "r", At: at,
	}))
	open := breach(12, at)
	open.Entries = [][16]byte{{1}}
	check(o.AddBreach(ctx, open))
	if told, err := o.AddBreachNotice(ctx, open.ID, BreachNotice{gdpr.ToSubjects, "letter", at}); err != nil || !told {
		o.t.Fatal(told, err)
	}
	notice := incidentNotice(13, 2, at)
	if kept, err := o.KeepNotice(ctx, notice, []string{"slack:C1"}); err != nil || !kept {
		o.t.Fatal(kept, err)
	}
	turn := o.NewTurn("detector", shortTurn)
	check(turn.Await(ctx, nil))
	o.turn = turn
	check(o.SaveDetector(ctx, turn, []DetectorState{{ID: []byte("k"), Subject: o.people[0].ID, State: []byte("learned")}}, DetectorPlaces{"events/3": 5}))
}

// attack does what whoever has the database and not the keyring can do.
func (o *ordering) attack(statement string, args ...any) {
	o.t.Helper()
	if _, err := o.db.write.ExecContext(o.t.Context(), o.db.query(statement), args...); err != nil {
		o.t.Fatal(err)
	}
}

// save keeps all that attacks and tests change here. The returned function puts it back.
func (o *ordering) save() (restore func()) {
	o.t.Helper()
	tables := []string{"subjects", "changes", "change_counter"}
	for _, table := range macTables() {
		tables = append(tables, table.name)
	}
	for _, table := range tables {
		o.attack("CREATE TABLE saved_" + table + " AS SELECT * FROM " + table)
	}
	return func() {
		o.t.Helper()
		err := o.db.inTransaction(context.Background(), func(tx *sql.Tx) error {
			var statements []string
			for _, table := range tables {
				statements = append(statements, "INSERT INTO "+table+" SELECT * FROM saved_"+table)
			}
			for i := range slices.Backward(tables) { // what refers to others comes behind them
				statements = slices.Insert(statements, len(tables)-1-i, "DELETE FROM "+tables[i])
			}
			for _, statement := range statements {
				if _, err := tx.ExecContext(context.Background(), statement); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *ordering) wantForged(tables ...string) {
	o.t.Helper()
	list, err := o.Forged(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range list {
		found[e.Table] = true
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, slices.Sorted(slices.Values(tables))) {
		o.t.Errorf("forged rows in %v, want %v", got, tables)
	}
}

// Every column of every table is changed in turn: whatever decides something makes the row a forged one.
func TestEveryColumnThatDecidesHasAMAC(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.unlinked(cfg.Driver)
		o.wantForged()
		for _, table := range macTables() {
			columns, values := o.first(table.name)
			for i, column := range columns {
				if slices.Contains(uncovered[table.name], column) {
					continue
				}
				key := columns[0] // each table's first column tells its rows here
				where := values[0]
				o.attack(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", table.name, column, key), other(values[i]), where)
				if i == 0 {
					where = other(values[0])
				}
				list, err := table.forged(t.Context(), o.Vault)
				if err != nil || len(list) != 1 || !errors.Is(list[0], ErrForged) || list[0].Table != table.name {
					t.Errorf("%s.%s changed: %v, %v", table.name, column, list, err)
				}
				o.attack(fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ?", table.name, column, key), values[i], where)
			}
			for _, column := range uncovered[table.name] {
				if !slices.Contains(columns, column) {
					t.Errorf("%s has no column %s", table.name, column)
				}
			}
		}
		o.wantForged()
	})
}

// unlinked has PostgreSQL forget what refers to notices, as whoever may alter its tables can.
func (o *ordering) unlinked(driver string) {
	if driver == DriverPostgres {
		o.attack(`ALTER TABLE notice_posts DROP CONSTRAINT notice_posts_notice_fkey`)
	}
}

// first returns the columns of a table and the values of one row.
func (o *ordering) first(table string) ([]string, []any) {
	o.t.Helper()
	rows, err := o.db.write.QueryContext(o.t.Context(), "SELECT * FROM "+table+" LIMIT 1")
	if err != nil {
		o.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		o.t.Fatal(table, err, rows.Err())
	}
	values, to := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	if err := rows.Scan(to...); err != nil {
		o.t.Fatal(err)
	}
	return columns, values
}

// other is another value of the same type, and of the same length if that is checked.
func other(value any) any {
	switch value := value.(type) {
	case []byte:
		changed := bytes.Clone(value)
		changed[len(changed)-1] ^= 1
		return changed
	case string:
		if value == string(NoticeIncident) {
			return string(NoticeDigest) // the table has no other kinds
		}
		return value + "x"
	case int64:
		return value + 1
	}
	panic(fmt.Sprintf("a value of type %T", value))
}

// What somebody inserts, changes or swaps who has no keyring is not acted on, and is reported.
func TestForgedRowsAreNotActedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		restore := o.save()
		f := func(name, table string, attack []string, check func(ctx context.Context, o *ordering) error) {
			t.Helper()
			t.Run(name, func(t *testing.T) {
				o.t = t
				defer restore()
				for _, statement := range attack {
					o.attack(blobs(cfg.Driver, statement))
				}
				o.mu.Lock()
				clear(o.forged)
				o.mu.Unlock()
				if err := check(t.Context(), o); !errors.Is(err, ErrForged) {
					t.Errorf("%v, want %v", err, ErrForged)
				}
				if !o.forged[table] {
					t.Error("nobody was told")
				}
			})
		}
		// listed turns a row that is left out of a list into the error that is wanted, since the list has no error.
		listed := func(n, want int, err error) error {
			if err != nil || n != want {
				return fmt.Errorf("%d in the list, want %d: %w", n, want, err)
			}
			return ErrForged
		}
		id := func(n byte) [16]byte { return [16]byte{n} }
		const newRequest = `INSERT INTO requests (id, caller, kind, state, wrapped, identity, subject, options, verified_by, received_micros, due_micros, changed_micros, tenant, mac)
			SELECT X'%032x', 'mine', kind, 'verified', wrapped, identity, subject, '{"recipient":"age1mine"}', 'operator', received_micros, due_micros, changed_micros, tenant, %s FROM requests`
		insertion := []string{fmt.Sprintf(newRequest, 0xff, "mac")}
		inserted := [16]byte{15: 0xff}
		f("request inserted, claimed", "requests", insertion, func(ctx context.Context, o *ordering) error {
			_, err := o.ClaimRequest(ctx, inserted, time.Now(), time.Now().Add(time.Second))
			return err
		})
		f("request inserted, open", "requests", insertion, func(ctx context.Context, o *ordering) error {
			list, err := o.OpenRequests(ctx, time.Now().Add(maxClaim+time.Hour))
			return listed(len(list), 1, err) // ours
		})
		f("request inserted without a MAC, read", "requests", []string{fmt.Sprintf(newRequest, 0xff, "NULL")}, func(ctx context.Context, o *ordering) error {
			_, _, err := o.Request(ctx, inserted)
			return err
		})
		f("another recipient", "requests", []string{`UPDATE requests SET options = '{"recipient":"age1mine"}'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.EndRequest(ctx, o.request.ID, Ending{State: gdpr.StateCompleted}, time.Now())
			return err
		})
		f("request put back", "requests", []string{`UPDATE requests SET state = 'received'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.VerifyRequest(ctx, o.request.ID, "operator", time.Now())
			return err
		})
		f("request forged, cancelled", "requests", []string{`UPDATE requests SET state = 'received'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.CancelRequest(ctx, o.request.ID, "r", time.Now())
			return err
		})
		f("another person's archive", "exports", []string{`UPDATE exports SET subject = X'000000000000000000000000000000ff'`}, func(ctx context.Context, o *ordering) error {
			_, _, err := o.Export(ctx, o.request.ID)
			return err
		})
		f("archive finished by hand", "exports", []string{`UPDATE exports SET ready = 1, expires_micros = 9000000000000000`}, func(ctx context.Context, o *ordering) error {
			list, err := o.Exports(ctx)
			return listed(len(list), 0, err)
		})
		f("API key of one's own", "api_keys", []string{`INSERT INTO api_keys (id, hash, role, tenant, name, added_micros, expires_micros, mac)
			SELECT X'000000000000000000000000000000ff', X'00000000000000000000000000000000000000000000000000000000000000ff', 'admin', '', name, 1, 0, mac FROM api_keys`},
			func(ctx context.Context, o *ordering) error {
				if _, err := o.APIKey(ctx, [32]byte{31: 0xff}, time.Now()); !errors.Is(err, ErrNotActive) {
					return err
				}
				if err := o.UseAPIKey(ctx, inserted, time.Now()); !errors.Is(err, ErrNotActive) {
					return err
				}
				list, err := o.APIKeys(ctx)
				return listed(len(list), 1, err)
			})
		f("API key with more rights", "api_keys", []string{`UPDATE api_keys SET role = 'admin', tenant = ''`}, func(ctx context.Context, o *ordering) error {
			if _, err := o.APIKey(ctx, [32]byte{4}, time.Now()); !errors.Is(err, ErrNotActive) {
				return err
			}
			_, err := o.RevokeAPIKey(ctx, id(4), time.Now())
			return err
		})
		f("author of one's own", "authors", []string{`INSERT INTO authors (name, public_key, mac) SELECT 'exporter-2', public_key, mac FROM authors`},
			func(ctx context.Context, o *ordering) error {
				if _, _, err := o.Author(ctx, "exporter-1"); err != nil {
					return err // ours is as good as before
				}
				if _, err := o.Authors(ctx); !errors.Is(err, ErrForged) {
					return err
				}
				_, _, err := o.Author(ctx, "exporter-2")
				return err
			})
		f("author's key replaced", "authors", []string{`UPDATE authors SET public_key = X'00000000000000000000000000000000000000000000000000000000000000ff'`},
			func(ctx context.Context, o *ordering) error {
				return o.AddAuthor(ctx, Author{"exporter-1", ed25519.PublicKey(bytes.Repeat([]byte{5}, 32))})
			})
		erase := func(ctx context.Context, o *ordering) error {
			_, _, err := o.Erase(ctx, Erasure{Request: id(20), Subject: o.people[1].ID, At: time.Now(), Suppression: Suppression{Until: at}})
			return err
		}
		f("hold lifted by hand", "holds", []string{`UPDATE holds SET lifted_micros = 1`}, erase)
		f("hold moved to another person", "holds", []string{`UPDATE holds SET subject = X'000000000000000000000000000000ff'`}, erase)
		f("hold of one's own", "holds", []string{`INSERT INTO holds (id, subject, reason, author, at_micros, expires_micros, mac)
			SELECT X'000000000000000000000000000000ff', subject, 'r', 'a', 1, 0, mac FROM holds`}, func(ctx context.Context, o *ordering) error {
			_, err := o.Holds(ctx)
			return err
		})
		f("hold forged, lifted", "holds", []string{`UPDATE holds SET expires_micros = 1`}, func(ctx context.Context, o *ordering) error {
			_, err := o.LiftHold(ctx, id(6), time.Now())
			return err
		})
		f("destruction that never was", "destroyed", []string{`INSERT INTO destroyed (request, subject, key_id, at_micros, exports, mac)
			SELECT X'01000000000000000000000000000000', s.id, s.key_id, 1, 0, d.mac FROM destroyed d, subjects s LIMIT 1`}, func(ctx context.Context, o *ordering) error {
			if _, _, err := o.Erase(ctx, Erasure{Request: id(1), Subject: o.people[0].ID, At: time.Now(), Suppression: Suppression{Until: at}}); !errors.Is(err, ErrForged) {
				return err
			}
			_, _, err := o.Destroyed(ctx, id(1))
			return err
		})
		f("remark of one's own", "outbox", []string{`INSERT INTO outbox (event_id, at_micros, record, mac) SELECT X'000000000000000000000000000000ff', 1, record, mac FROM outbox LIMIT 1`},
			func(ctx context.Context, o *ordering) error {
				for range 2 { // what is not ours is gone, and keeps nothing
					list, err := o.ClaimUnsaid(ctx, 10, time.Now(), time.Now())
					if err := listed(len(list), 2, err); !errors.Is(err, ErrForged) {
						return err
					}
				}
				o.wantForged()
				return ErrForged
			})
		f("restriction lifted by hand", "restrictions", []string{`UPDATE restrictions SET lifted_micros = 1`}, func(ctx context.Context, o *ordering) error {
			if marked, err := o.Restricted(ctx, []gdpr.SubjectID{o.people[1].ID}); err != nil || !marked[o.people[1].ID] {
				return fmt.Errorf("%v, %w", marked, err)
			}
			if _, err := o.Unrestrict(ctx, o.people[1].ID, time.Now()); !errors.Is(err, ErrForged) {
				return err
			}
			_, err := o.Restrict(ctx, o.people[1].ID, id(8), time.Now())
			return err
		})
		f("consent changed", "consents", []string{`UPDATE consents SET since_micros = 1`}, func(ctx context.Context, o *ordering) error {
			_, err := o.Consent(ctx, people(1, 1)[0], "marketing")
			return err
		})
		f("history of consents changed", "consent_changes", []string{`UPDATE consent_changes SET state = 'withdrawn'`}, func(ctx context.Context, o *ordering) error {
			_, err := o.Consents(ctx, o.people[1].ID)
			return err
		})
		forgedLater(f)
	})
}

// forgedLater has the tables that have MACs since version 15. Those of the detector are in detectorstate_test.go.
func forgedLater(f func(name, table string, attack []string, check func(ctx context.Context, o *ordering) error)) {
	// suppressed says whether somebody is, as ingest sees it.
	suppressed := func(ctx context.Context, o *ordering, n int, want bool) error {
		hash := newHasher(&o.secrets.lookup).identity(people(n, 1)[0])
		all, err := o.suppressed(ctx, o.db.read, nil)
		if err == nil && (all[hash] != nil) != want {
			err = fmt.Errorf("suppressed: %v, want %v", !want, want)
		}
		if err == nil {
			_, _, late, err2 := o.subjects(ctx, people(n, 1), nil)
			if err = err2; err == nil && (late[hash] != nil) != want {
				err = fmt.Errorf("left out: %v, want %v", !want, want)
			}
		}
		if err == nil {
			err = ErrForged
		}
		return err
	}
	f("suppression made up", "suppressions", []string{`INSERT INTO suppressions (lookup, until_micros, offsets, forever, expires_micros, mac)
		SELECT s.lookup, u.until_micros, u.offsets, 1, u.expires_micros, u.mac FROM subjects s, suppressions u`}, func(ctx context.Context, o *ordering) error {
		return suppressed(ctx, o, 1, false)
	})
	f("suppression moved to somebody else", "suppressions", []string{`UPDATE suppressions SET lookup = (SELECT lookup FROM subjects ORDER BY lookup LIMIT 1)`}, func(ctx context.Context, o *ordering) error {
		for n := range 3 {
			if err := suppressed(ctx, o, n, false); !errors.Is(err, ErrForged) {
				return err
			}
		}
		return ErrForged
	})
	f("suppression for ever", "suppressions", []string{`UPDATE suppressions SET forever = 1`}, func(ctx context.Context, o *ordering) error {
		return suppressed(ctx, o, 3, false)
	})
	f("suppression widened after it was forged", "suppressions", []string{`UPDATE suppressions SET forever = 1`}, func(ctx context.Context, o *ordering) error {
		back := subjectsOf(o.t, o.Vault, people(3, 1)...)[0]
		if _, gone, err := o.Erase(ctx, Erasure{Request: [16]byte{20}, Subject: back.ID, At: at, Weighed: [][16]byte{{6}}, Suppression: Suppression{Until: at}}); err != nil || !gone {
			return fmt.Errorf("%v, %w", gone, err)
		}
		o.wantForged() // the next erasure has made it good
		all, err := o.suppressed(ctx, o.db.read, nil)
		if err != nil || len(all) != 1 || all[newHasher(&o.secrets.lookup).identity(people(3, 1)[0])].Forever {
			return fmt.Errorf("%v, %w", all, err)
		}
		return ErrForged
	})
	current := func(ctx context.Context, o *ordering) error {
		if _, err := o.Generations(ctx); !errors.Is(err, ErrForged) {
			return err
		}
		if err := o.Reopen(ctx, 1, Generation{Topic: "events", Partition: 3, Generation: 2, Log: "events/3.2", Predecessor: "events/3.1"}); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.CurrentLog(ctx, "events", 3)
		return err
	}
	f("log begins elsewhere", "log_generations", []string{`UPDATE log_generations SET first_offset = 1000000`}, current)
	f("generation made up", "log_generations", []string{`INSERT INTO log_generations (topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros, mac)
		SELECT topic, partition, 2, 'events/3.2', 'events/3.1', 0, predecessor_head, 1000000, reason, at_micros, mac FROM log_generations`}, current)
	f("generation moved to another partition", "log_generations", []string{`UPDATE log_generations SET partition = 4`}, func(ctx context.Context, o *ordering) error {
		_, err := o.CurrentLog(ctx, "events", 4)
		return err
	})
	f("generation deleted before another", "log_generations", nil, func(ctx context.Context, o *ordering) error {
		if err := o.Reopen(ctx, 1, Generation{Topic: "events", Partition: 3, Generation: 2, Log: "events/3.2", Predecessor: "events/3.1", At: at}); err != nil {
			return err
		}
		if g, err := o.CurrentLog(ctx, "events", 3); err != nil || g.Generation != 2 {
			return fmt.Errorf("%+v, %w", g, err)
		}
		o.attack(`DELETE FROM log_generations WHERE generation = 1`)
		if _, err := o.Generations(ctx); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.CurrentLog(ctx, "events", 3)
		return err
	})
	deadlines := func(ctx context.Context, o *ordering, want int) error {
		list, err := o.BreachDeadlines(ctx)
		if err != nil || len(list) != want {
			return fmt.Errorf("%+v, %w", list, err)
		}
		return ErrForged
	}
	f("breach closed by hand", "breaches", []string{`UPDATE breaches SET closed_micros = 1`}, func(ctx context.Context, o *ordering) error {
		if err := deadlines(ctx, o, 0); !errors.Is(err, ErrForged) {
			return err
		}
		if list, err := o.Breaches(ctx); err != nil || len(list) != 0 {
			return fmt.Errorf("%+v, %w", list, err)
		}
		_, _, err := o.Breach(ctx, [16]byte{12})
		return err
	})
	f("breach that affects nobody", "breaches", []string{`UPDATE breaches SET entries = NULL`}, func(ctx context.Context, o *ordering) error {
		if _, err := o.CloseBreach(ctx, Breach{ID: [16]byte{12}, Notices: 1, Closed: at}); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.AddBreachNotice(ctx, [16]byte{12}, BreachNotice{gdpr.ToAuthority, "r", at})
		return err
	})
	f("breach of one's own", "breaches", []string{`INSERT INTO breaches (id, reason, detected_micros, due_micros, opened_micros, scope, opening, mac)
		SELECT X'000000000000000000000000000000ff', reason, 1, 1, 1, scope, opening, mac FROM breaches`}, func(ctx context.Context, o *ordering) error { return deadlines(ctx, o, 1) })
	const told = `INSERT INTO breach_notices (breach, number, addressee, reference, at_micros, mac) SELECT breach, 2, 'authority', reference, at_micros, mac FROM breach_notices`
	f("authority said to be told", "breach_notices", []string{told}, func(ctx context.Context, o *ordering) error {
		if err := deadlines(ctx, o, 1); !errors.Is(err, ErrForged) {
			return err
		}
		_, err := o.BreachNotices(ctx, [16]byte{12})
		return err
	})
	f("authority told instead of the people", "breach_notices", []string{`UPDATE breach_notices SET addressee = 'authority'`}, func(ctx context.Context, o *ordering) error {
		return deadlines(ctx, o, 1)
	})
	forgedNotices(f)
	f("notice of a breach deleted", "breach_notices", []string{`DELETE FROM breach_notices`}, func(ctx context.Context, o *ordering) error {
		_, err := o.BreachNotices(ctx, [16]byte{12})
		return err
	})
}

// blobs writes SQLite's literals of bytes as PostgreSQL knows them.
func blobs(driver, statement string) string {
	if driver != DriverPostgres {
		return statement
	}
	return strings.ReplaceAll(statement, "X'", `'\x`)
}

// A row, its MAC included, counts nowhere but in its own place.
func TestSwappedRowsAreForged(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		if err := o.AddHold(t.Context(), Hold{ID: [16]byte{60}, Subject: o.people[0].ID, Reason: "case 13", Author: "counsel", At: at}); err != nil {
			t.Fatal(err)
		}
		o.attack(`UPDATE holds SET id = ? WHERE id = ?`, bytes.Repeat([]byte{1}, 16), append([]byte{6}, make([]byte, 15)...))
		o.attack(`UPDATE holds SET id = ? WHERE id = ?`, append([]byte{6}, make([]byte, 15)...), append([]byte{60}, make([]byte, 15)...))
		o.attack(`UPDATE holds SET id = ? WHERE id = ?`, append([]byte{60}, make([]byte, 15)...), bytes.Repeat([]byte{1}, 16))
		if list, err := o.Forged(t.Context()); err != nil || len(list) != 2 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// What the threat model says cannot be found in the vault by itself: an earlier state of the same row, and a row that is gone.
func TestEarlierStateOfARowCounts(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		o.attack(`CREATE TABLE saved AS SELECT * FROM holds`)
		if lifted, err := o.LiftHold(t.Context(), [16]byte{6}, time.Now()); err != nil || !lifted {
			t.Fatal(lifted, err)
		}
		o.attack(`DELETE FROM holds`)
		o.wantForged()
		o.attack(`INSERT INTO holds SELECT * FROM saved`)
		o.wantForged()
		if list, err := o.Holds(t.Context()); err != nil || len(list) != 1 || !list[0].Active(time.Now()) {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// MACs outlive the key-encryption keys: nothing is forged after a rotation, and what is forged stays so.
func TestMACsAfterRotation(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		o := newOrdering(t, cfg)
		for range 2 {
			if done, err := o.Rotate(t.Context(), time.Nanosecond); err != nil || len(done.Retired) != 1 {
				t.Fatalf("%+v, %v", done, err)
			}
		}
		o.wantForged()
		again := openVault(t, cfg, o.keys)
		if again.secrets != o.secrets {
			t.Error("the secrets changed")
		}
		if list, err := again.Forged(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		o.attack(`UPDATE requests SET options = '{"recipient":"age1mine"}'`)
		if done, err := o.Rotate(t.Context(), time.Nanosecond); err != nil || len(done.Retired) != 1 {
			t.Errorf("a forged row keeps the keyring from being rotated: %+v, %v", done, err)
		}
		o.wantForged("requests")
	})
}

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

func forgedNotices(f func(name, table string, attack []string, check func(ctx context.Context, o *ordering) error)) {
	id, now := [16]byte{13}, at.Add(time.Hour)
	// next returns what the receiver is told, or fails if that is not the notice.
	next := func(ctx context.Context, o *ordering) (NoticePost, error) {
		p, ok, err := o.NextPost(ctx, "slack:C1", 1, now)
		if err == nil && (!ok || p.Notice.ID != id || p.Notice.Body != `{"a":1}`) {
			err = fmt.Errorf("told %v: %+v", ok, p)
		}
		return p, err
	}
	nothing := func(ctx context.Context, o *ordering) error {
		if p, ok, err := o.NextPost(ctx, "slack:C1", 1, now); err != nil || ok {
			return fmt.Errorf("told %v: %+v, %w", ok, p, err)
		}
		return nil
	}
	for _, set := range []string{`body = '{"subject":"somebody"}'`, `severity = 1`, `revision = 9`, `status = 'withdrawn'`, `verdict = 'false_positive', verdict_micros = 9000000000000000`} {
		f("notice with "+set, "notices", []string{`UPDATE notices SET ` + set}, func(ctx context.Context, o *ordering) error {
			if err := nothing(ctx, o); err != nil {
				return err
			}
			if _, found, err := o.Notice(ctx, id); err != nil || found {
				return fmt.Errorf("shown: %v, %w", found, err)
			}
			if _, err := o.SetVerdict(ctx, id, NoticeVerdict{Verdict: "acknowledged", At: now}); !errors.Is(err, ErrForged) {
				return err
			}
			if list, err := o.CountNotices(ctx, at, at.Add(time.Second)); err != nil || len(list) != 0 {
				return fmt.Errorf("counted: %v, %w", list, err)
			}
			o.wantForged("notices")
			// What Kafka says next takes its place, whatever it said, and is told.
			kept, err := o.KeepNotice(ctx, incidentNotice(13, 3, at), []string{"slack:C1"})
			if err != nil || !kept {
				return fmt.Errorf("%v, %w", kept, err)
			}
			if p, err := next(ctx, o); err != nil || p.Notice.Revision != 3 || !p.Notice.Verdict.At.IsZero() {
				return fmt.Errorf("%+v, %w", p, err)
			}
			o.wantForged()
			return ErrForged
		})
	}
	const made = `INSERT INTO notices (id, kind, part, revision, severity, status, summarised, tenant, at_micros, changed_micros, body, mac)
		SELECT X'000000000000000000000000000000ff', '%s', part, 1, severity, status, 0, tenant, at_micros + 1000, 1, body, mac FROM notices`
	f("notice made up", "notices", []string{
		fmt.Sprintf(made, NoticeIncident),
		`INSERT INTO notice_posts (notice, target, pending, waiting_micros, mac) SELECT X'000000000000000000000000000000ff', target, 3, 0, mac FROM notice_posts`,
	}, func(ctx context.Context, o *ordering) error {
		if _, err := next(ctx, o); err != nil { // it keeps nobody waiting
			return err
		}
		if list, err := o.Unsent(ctx, "slack:C1", 1, 10); err != nil || len(list) != 1 {
			return fmt.Errorf("%+v, %w", list, err)
		}
		if list, err := o.CountNotices(ctx, at, at.Add(time.Second)); err != nil || len(list) != 1 || list[0].Count != 1 {
			return fmt.Errorf("counted: %v, %w", list, err)
		}
		return ErrForged
	})
	f("summary of a day to come", "notices", []string{fmt.Sprintf(made, NoticeDigest)}, func(ctx context.Context, o *ordering) error {
		if n, found, err := o.LatestNotice(ctx, NoticeDigest); err != nil || found {
			return fmt.Errorf("%+v, %w", n, err)
		}
		return ErrForged
	})
	for _, set := range []string{`pending = 0`, `not_before_micros = 9000000000000000`, `sent_version = 9`, `channel = 'C2', ts = '1.2'`, `pending = 0, sent_version = 1, told_version = 1`, `mac = NULL`} {
		f("receiver with "+set, "notice_posts", []string{`UPDATE notice_posts SET ` + set}, func(ctx context.Context, o *ordering) error {
			if _, err := o.Posts(ctx, id); !errors.Is(err, ErrForged) {
				return err
			}
			if n, err := o.MendPosts(ctx, now); err != nil || n != 1 {
				return fmt.Errorf("%d mended, %w", n, err)
			}
			p, err := next(ctx, o)
			if err != nil || p.SentVersion != 0 || p.Channel != "" || p.TS != "" || !p.NotBefore.IsZero() {
				return fmt.Errorf("%+v, %w", p, err)
			}
			o.wantForged()
			return ErrForged
		})
	}
	f("message elsewhere", "notice_posts", []string{`UPDATE notice_posts SET channel = 'C2', ts = '1.2'`}, func(ctx context.Context, o *ordering) error {
		if p, err := next(ctx, o); err != nil || p.Channel != "" || p.TS != "" {
			return fmt.Errorf("%+v, %w", p, err)
		}
		return ErrForged
	})
	f("receiver said to be told, of a notice that changes", "notice_posts", []string{`UPDATE notice_posts SET pending = 0, sent_version = 9, told_version = 9`}, func(ctx context.Context, o *ordering) error {
		if changed, err := o.SetVerdict(ctx, id, NoticeVerdict{Verdict: "acknowledged", At: now}); err != nil || !changed {
			return fmt.Errorf("%v, %w", changed, err)
		}
		if p, err := next(ctx, o); err != nil || p.SentVersion != 0 {
			return fmt.Errorf("%+v, %w", p, err)
		}
		return ErrForged
	})
	f("receiver that is no more", "notice_posts", []string{`UPDATE notice_posts SET waiting_micros = 1`}, func(ctx context.Context, o *ordering) error {
		if err := o.MovePost(ctx, id, "slack:C1", "slack:C2"); err != nil {
			return err
		}
		if n, err := o.SettlePosts(ctx, "slack:C2", 1); err != nil || n != 1 {
			return fmt.Errorf("%d, %w", n, err)
		}
		o.wantForged()
		return ErrForged
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

// The migration itself, with rows of the version before.
func TestMigrationToMACs(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
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
		if _, err := provider.UpTo(t.Context(), 11); err != nil {
			t.Fatal(err)
		}
		keys, _ := newKeyring(t)
		w, err := keys.wrapper(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		exec := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.exec(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec(insertDeployment, cfg.Deployment, 1, w.wrap(purposeDeployment, []byte(cfg.Deployment), bytes.Repeat([]byte{1}, 64)))
		exec(insertFingerprint, 1, w.fingerprint())
		exec(`INSERT INTO holds (id, subject, reason, author, at_micros, expires_micros) VALUES (?, ?, 'r', 'a', 5, 0)`, make([]byte, 16), make([]byte, 16))
		request := newUUID()
		exec(`INSERT INTO requests (id, caller, kind, state, wrapped, identity, options, verified_by, received_micros, due_micros, changed_micros)
			VALUES (?, 'c', 'erasure', 'verified', 1, ?, '{}', 'operator', 1, 2, 3)`, request[:], w.wrap(purposeRequest, request[:], Identity{"acme", "mia"}.encode()))
		if err := db.close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			v := openVault(t, cfg, keys)
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
		if _, err := provider.UpTo(t.Context(), 14); err != nil {
			t.Fatal(err)
		}
		keys, _ := newKeyring(t)
		w, err := keys.wrapper(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		exec := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.exec(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		exec(insertDeployment, cfg.Deployment, 1, w.wrap(purposeDeployment, []byte(cfg.Deployment), bytes.Repeat([]byte{1}, 96)))
		exec(insertFingerprint, 1, w.fingerprint())
		exec(`INSERT INTO suppressions (lookup, until_micros, offsets, forever, expires_micros) VALUES (?, 1, '{"events/0":5}', 1, 2)`, make([]byte, 32))
		exec(`INSERT INTO log_generations (topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros)
			VALUES ('events', 0, 1, 'events/0.1', 'events/0', 5, ?, 9, 'r', 1)`, make([]byte, 32))
		exec(`INSERT INTO breaches (id, reason, detected_micros, due_micros, opened_micros, scope, opening, notices) VALUES (?, 'r', 1, 2, 3, '{}', '[]', 1)`, make([]byte, 16))
		exec(`INSERT INTO breach_notices (breach, number, addressee, reference, at_micros) VALUES (?, 1, 'subjects', 'letter', 1)`, make([]byte, 16))
		exec(`INSERT INTO notices (id, kind, part, revision, severity, status, summarised, tenant, at_micros, changed_micros, body) VALUES (?, 'incident', 0, 1, 1, 'final', 0, '', 1, 1, '{}')`, make([]byte, 16))
		exec(`INSERT INTO notice_posts (notice, target, pending, waiting_micros) VALUES (?, 'webhook', 3, 1)`, make([]byte, 16))
		exec(`UPDATE detector_snapshot SET version = 1, term = 1, places = '{"events/0":9}'`)
		const states = statesPerRead + 10
		exec(`WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < `+fmt.Sprint(states)+`)
			INSERT INTO detector_states (id, version, subject, state) SELECT `+map[string]string{DriverSQLite: "CAST(n AS BLOB)", DriverPostgres: "n::text::bytea"}[cfg.Driver]+`, 1, NULL, ? FROM more`,
			[]byte("learned"))
		if err := db.close(); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			v := openVault(t, cfg, keys)
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

// A forged name cannot write lines of its own into our logs, nor fill them.
func TestForgedErrorSaysNothing(t *testing.T) {
	author := Author{Name: "x\nerror: " + strings.Repeat("é", 1000)}
	var text rowText
	author.describe(&text)
	message := (&ForgedError{Table: text.table, Row: text.row}).Error()
	if strings.ContainsAny(message, "\né") || len(message) > 600 {
		t.Errorf("%q", message)
	}
}

// No two different rows have the same text.
func TestRowTextIsUnambiguous(t *testing.T) {
	text := func(build func(t *rowText)) string {
		var r rowText
		r.beginNamed("t", "r")
		build(&r)
		return string(r.text)
	}
	seen := map[string]bool{}
	for _, one := range []string{
		text(func(t *rowText) { t.string("ab"); t.string("c") }), text(func(t *rowText) { t.string("a"); t.string("bc") }),
		text(func(t *rowText) { t.string("abc"); t.string("") }), text(func(t *rowText) { t.string(""); t.string("abc") }),
		text(func(t *rowText) { t.number(1); t.number(0) }), text(func(t *rowText) { t.number(0); t.number(1) }),
		text(func(t *rowText) { t.present(nil) }), text(func(t *rowText) { t.present([]byte{}) }),
	} {
		if seen[one] {
			t.Errorf("twice: %q", one)
		}
		seen[one] = true
	}
}

// The MAC of a row never changes, whatever else does: rows of older versions would be forged.
func TestRowMACGolden(t *testing.T) {
	v := &Vault{secrets: deploymentSecrets{rows: [32]byte(bytes.Repeat([]byte{7}, 32))}}
	for want, row := range map[string]authentic{
		"0183312c965829e2567ccd6ffd5607dd645ee5d908c5f4210047f72f609bb4da94": &Hold{ID: [16]byte{1}, Subject: gdpr.SubjectID{2}, Reason: "case 12", Author: "counsel", At: at},
		"017cf09aff182561986e1168746f36051778d4dcc455816bfb9ee6e5e7a237b1b6": &suppressionRow{lookup: LookupHash{1}, offsets: `{"events/0":5}`, forever: 1, Suppression: Suppression{Until: at, Expires: at.Add(time.Hour)}},
		"011edb221d988673276ef3e031522c07da7f72511882881c389964235df47d75e9": &Generation{
			Topic: "events", Partition: 3, Generation: 1, Log: "events/3.1", Predecessor: "events/3", PredecessorSize: 9, PredecessorHead: chain.Hash{5}, FirstOffset: 12, Reason: "r", At: at,
		},
		"014319b8dc6514f508693e2879ea2a149286206590d976a765f10a86dd5337cea6": &Breach{ID: [16]byte{1}, Reason: "r", Detected: at, Due: at, Opened: at, Scope: "{}", Entries: [][16]byte{{1}, {2}}, Opening: "[]", Notices: 1, Closed: at, Why: "w", Report: "{}"},
		"0104e44851910e8b91ae819231cd9b8686e4975e54d10876c529f87f021c2150c0": &breachNoticeRow{[16]byte{1}, 2, BreachNotice{gdpr.ToAuthority, "r", at}},
		"01fc3350060f6215437826713c33e499570f2189c675943ce7909e379bb70ac7b4": &stateRow{DetectorState{ID: []byte("k"), Subject: gdpr.SubjectID{2}, State: []byte("learned")}, 7},
		"018e4a8ad8f3d618357ba2c18fa80f1def236f977622ce0d50e6ad6e581ab54aea": &Notice{
			ID: [16]byte{1}, Kind: NoticeIncident, Part: 1, Revision: 2, Version: 3, Severity: 4, Status: "final", Summarised: true, Tenant: "acme", At: at, Changed: at, Body: "{}",
			Verdict: NoticeVerdict{"snoozed", "somebody", at, at},
		},
		"0133c4435f338f5407df746b570dc6344c740ed19a808e83f1deee8d152219fa45": &postRow{NoticePost{
			Notice: Notice{ID: [16]byte{1}}, Target: "slack:C1", Waiting: at, NotBefore: at, SentVersion: 1, SentRevision: 2, Channel: "C1", TS: "1.2", Posting: at,
			ToldVersion: 1, Told: "high", Telling: at,
		}, 2},
		"01ab021aebaa7d7652365835a1eaabcee656625ef975dc2f550680c80df80d7b4b": &snapshotRow{7, 3, `{"events/0":5}`},
	} {
		if got := fmt.Sprintf("%x", v.mac(row)); got != want {
			t.Errorf("%T: %s, want %s", row, got, want)
		}
	}
}

func BenchmarkRowMAC(b *testing.B) {
	v := &Vault{}
	hold := Hold{Reason: "case 12", Author: "counsel", At: at}
	mac := v.mac(&hold)
	b.ReportAllocs()
	for b.Loop() {
		if v.check(&hold, mac) != nil {
			b.Fatal("forged")
		}
	}
}
