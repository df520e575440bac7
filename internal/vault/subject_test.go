package vault

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestSubjects(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		alice, bob, nobody := Identity{"acme", "alice"}, Identity{"acme", "bob"}, Identity{"acme", ""}
		first := subjectsOf(t, v, alice, bob, alice, nobody)
		if first[0] != first[2] || first[0].ID == first[1].ID || first[0].ID == first[3].ID {
			t.Fatalf("subjects %v", first)
		}
		for _, s := range first {
			if s.ID[6]>>4 != 4 || s.ID[8]>>6 != 2 || s.Keys.ID == gdpr.KeyID(s.ID) || s.Keys.Content == s.Keys.Token || s.Keys.Content == [32]byte{} {
				t.Errorf("subject %s has wrong ids or keys", s.ID)
			}
		}
		// In another order, with somebody new among them, and split differently between tenant and user.
		again := subjectsOf(t, v, Identity{"acm", "ealice"}, nobody, bob, Identity{"other", "bob"}, alice)
		if again[1] != first[3] || again[2] != first[1] || again[4] != first[0] {
			t.Error("subjects changed")
		}
		if again[0].ID == first[0].ID || again[3].ID == first[1].ID {
			t.Error("two people share a pseudonym")
		}
		if got, err := v.Subjects(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("no identities: %v, %v", got, err)
		}
		if _, err := v.Subjects(t.Context(), []Identity{{"a\x00b", "c"}}); err == nil {
			t.Error("a tenant with NUL was accepted")
		}
	})
}

func TestSubjectsManyAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		ids := people(0, 3*subjectsPerTransaction/2) // more than one transaction
		first := subjectsOf(t, v, ids...)
		slices.Reverse(ids)
		again := subjectsOf(t, v, ids...)
		slices.Reverse(again)
		if !slices.Equal(first, again) {
			t.Error("subjects changed")
		}
		checkSubjects(t, v, len(ids))
	})
}

func TestFindAndIdentify(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		alice := Identity{"acmé", "alice\x00\n"}
		if _, ok, err := v.Find(t.Context(), alice); ok || err != nil {
			t.Fatalf("found before creation: %v, %v", ok, err)
		}
		s := subjectsOf(t, v, alice)[0]
		if got, ok, err := v.Find(t.Context(), alice); got != s || !ok || err != nil {
			t.Errorf("Find: %v, %v", ok, err)
		}
		who, err := v.Identify(t.Context(), []gdpr.SubjectID{{1}, s.ID, s.ID})
		if err != nil || len(who) != 1 || who[s.ID] != alice {
			t.Errorf("Identify: %v, %v", who, err)
		}
		day, err := v.DayKey(t.Context(), "2026-11-20")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := v.KeysByID(t.Context(), []gdpr.KeyID{s.Keys.ID, {2}, day.ID})
		if err != nil || len(keys) != 2 || keys[s.Keys.ID] != s.Keys || keys[day.ID] != day {
			t.Errorf("KeysByID: %d keys, %v", len(keys), err)
		}
	})
}

func TestDestroy(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		alice, bob := Identity{"acme", "alice"}, Identity{"acme", "bob"}
		before := subjectsOf(t, v, alice, bob)
		for range 2 { // the second is without effect
			if err := v.Destroy(t.Context(), before[0].ID); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok, err := v.Find(t.Context(), alice); ok || err != nil {
			t.Errorf("found after destruction: %v, %v", ok, err)
		}
		if keys, err := v.KeysByID(t.Context(), []gdpr.KeyID{before[0].Keys.ID, before[1].Keys.ID}); err != nil || len(keys) != 1 {
			t.Errorf("%d keys left, %v", len(keys), err)
		}
		list, known, err := v.changesSince(t.Context(), point{})
		if err != nil || !known || len(list) != 2 || list[0].destroyed != (gdpr.SubjectID{}) || list[1].destroyed != before[0].ID {
			t.Errorf("changes %+v, %v, %v", list, known, err)
		}
		if now, err := v.present(t.Context()); err != nil || now != list[1].point || now.number != 2 {
			t.Errorf("the vault is at %+v, %v", now, err)
		}
		after := subjectsOf(t, v, alice, bob)
		if after[0].ID == before[0].ID || after[0].Keys == before[0].Keys || after[1] != before[1] {
			t.Error("alice is not a stranger, or bob is")
		}
	})
}

// Many goroutines on two connections to one database, in orders of their own.
func TestGoroutinesAgreeOnSubjects(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, keyCfg := newKeyring(t)
		other, err := OpenKeyring(t.Context(), keyCfg)
		if err != nil {
			t.Fatal(err)
		}
		vaults := []*Vault{openVault(t, cfg, keys), openVault(t, cfg, other)}
		const goroutines, n = 16, 300
		results := make([][]Subject, goroutines)
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				ids := people(0, n)
				ids = append(ids[g*n/goroutines:], ids[:g*n/goroutines]...)
				var got []Subject
				for some := range slices.Chunk(ids, 50) {
					subjects, err := vaults[g%2].Subjects(t.Context(), some)
					if err != nil {
						t.Error(err)
						return
					}
					got = append(got, subjects...)
				}
				at := len(got) - g*n/goroutines
				results[g] = append(got[at:], got[:at]...)
			})
		}
		wg.Wait()
		for g := range results {
			if !slices.Equal(results[g], results[0]) {
				t.Errorf("goroutine %d saw other subjects", g)
			}
		}
		checkSubjects(t, vaults[0], n)
	})
}

// Whoever can write the database, but has no keys, cannot make one person's row serve for another.
func TestSwappedRowsDoNotOpen(t *testing.T) {
	f := func(name string, wantSubjects, wantIdentify error, statements ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			v := newVault(t, emptyDatabase(t, DriverSQLite))
			ids := people(0, 2)
			subjects := subjectsOf(t, v, ids...)
			for _, statement := range statements {
				if _, err := v.db.write.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := v.Subjects(t.Context(), ids); !errors.Is(err, wantSubjects) {
				t.Errorf("Subjects: %v, want %v", err, wantSubjects)
			}
			if _, err := v.Identify(t.Context(), []gdpr.SubjectID{subjects[0].ID, subjects[1].ID}); !errors.Is(err, wantIdentify) {
				t.Errorf("Identify: %v, want %v", err, wantIdentify)
			}
		})
	}
	f("keys", ErrDamaged, nil, `UPDATE subjects SET keys = (SELECT o.keys FROM subjects o WHERE o.id <> subjects.id)`)
	f("identity", nil, ErrDamaged, `UPDATE subjects SET identity = (SELECT o.identity FROM subjects o WHERE o.id <> subjects.id)`)
	f("key id", ErrDamaged, ErrDamaged, `UPDATE subjects SET key_id = randomblob(16)`)
	f("look-up hash", ErrDamaged, ErrDamaged,
		`CREATE TEMP TABLE taken AS SELECT max(lookup) AS lookup FROM subjects`,
		`DELETE FROM subjects WHERE lookup = (SELECT max(lookup) FROM subjects)`,
		`UPDATE subjects SET lookup = (SELECT lookup FROM taken)`)
	f("keys under another purpose", ErrDamaged, nil, `UPDATE subjects SET keys = identity`)
}

// The row of one person does not open: all others are served and cached, and the error says so.
func TestDamagedRowConcernsNobodyElse(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		c := newCache(t, v, time.Hour)
		running(t, c)
		ids := people(0, 10)
		before := subjectsOf(t, v, ids...)
		if _, err := v.db.exec(t.Context(), `UPDATE subjects SET keys = identity WHERE id = ?`, before[3].ID[:]); err != nil {
			t.Fatal(err)
		}
		asked := append(ids, people(10, 10)...) // half of them are new
		check := func(err error) {
			t.Helper()
			if !errors.Is(err, ErrDamaged) || strings.Contains(err.Error(), "user-3") {
				t.Errorf("error %v", err)
			}
		}
		check(c.Resolve(t.Context(), asked, c.Late()))
		got, err := v.Subjects(t.Context(), asked)
		check(err)
		var one CachedSubject
		for i, id := range asked {
			if i == 3 {
				if got[i] != (Subject{}) || c.Get(lookup(c, id), &one) {
					t.Error("somebody in the place of the damaged row")
				}
				continue
			}
			if got[i].ID == (gdpr.SubjectID{}) || i < 10 && got[i] != before[i] {
				t.Errorf("%d is another subject", i)
			}
			if !c.Get(lookup(c, id), &one) || one.ID != got[i].ID {
				t.Errorf("%d is not cached", i)
			}
		}
		var n int
		if err := v.db.read.QueryRowContext(t.Context(), `SELECT count(*) FROM subjects`).Scan(&n); err != nil || n != 20 {
			t.Errorf("%d rows, %v, want 20", n, err)
		}
	})
}
