package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// consents says something about a purpose in the name of mia, and what is to be said about it.
func consents(v *Vault, caller, purpose string, state gdpr.ConsentState, at time.Time) (ConsentState, bool, bool, error) {
	c := ConsentChange{ID: v.ConsentID(caller), Purpose: purpose, State: state, At: at, Reference: "form of " + caller}
	return v.ChangeConsent(context.Background(), Identity{"acme", "mia"}, c, func(subject gdpr.SubjectID) (Saying, error) {
		return Saying{EventID: c.ID, At: at, Record: subject.String()}, nil
	})
}

func TestConsents(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		mia := Identity{"acme", "mia"}
		now := time.Now().UTC().Truncate(time.Microsecond)
		minute := func(n int) time.Time { return now.Add(time.Duration(n) * time.Minute) }
		const granted, withdrawn = gdpr.ConsentGranted, gdpr.ConsentWithdrawn
		wantNow := func(purpose string, want ConsentState) {
			t.Helper()
			if got, err := v.Consent(t.Context(), mia, purpose); err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", purpose, got, err, want)
			}
		}
		f := func(caller, purpose string, state gdpr.ConsentState, at time.Time, wantAdded bool, want ConsentState) {
			t.Helper()
			if got, found, added, err := consents(v, caller, purpose, state, at); err != nil || !found || added != wantAdded || got != want {
				t.Fatalf("%s: %+v, found %v, added %v, %v; want %+v", caller, got, found, added, err, want)
			}
			wantNow(purpose, want)
		}
		// Nobody becomes known by being asked about, or by a withdrawal.
		wantNow("ads", ConsentState{})
		if _, found, _, err := consents(v, "early", "ads", withdrawn, now); err != nil || found {
			t.Errorf("withdrawn from nobody: %v, %v", found, err)
		}
		if _, found, err := v.Find(t.Context(), mia); err != nil || found {
			t.Fatalf("somebody became known: %v", err)
		}
		f("1", "ads", granted, minute(1), true, ConsentState{granted, minute(1), 1})
		f("2", "ads", granted, minute(2), true, ConsentState{granted, minute(1), 2})
		f("3", "ads", withdrawn, minute(3), true, ConsentState{withdrawn, minute(3), 3})
		f("4", "model-training", withdrawn, minute(4), true, ConsentState{withdrawn, minute(4), 1})
		f("1", "ads", granted, minute(5), false, ConsentState{withdrawn, minute(3), 3}) // it came before: what holds now is what came later
		f("5", "ads", granted, minute(0), true, ConsentState{granted, minute(0), 4})    // by the vault's order, whatever a clock says
		if _, _, _, err := consents(v, "1", "ads", withdrawn, now); !errors.Is(err, ErrOtherConsent) {
			t.Errorf("another change under an id that was used: %v", err)
		}
		if _, _, _, err := consents(v, "1", "other", granted, now); !errors.Is(err, ErrOtherConsent) {
			t.Errorf("another purpose under an id that was used: %v", err)
		}
		wantNow("ads", ConsentState{granted, minute(0), 4})
		wantNow("other", ConsentState{})

		subject, _, err := v.Find(t.Context(), mia)
		if err != nil {
			t.Fatal(err)
		}
		list, err := v.Consents(t.Context(), subject.ID)
		if err != nil || len(list) != 2 || list[0].Purpose != "ads" || list[1].Purpose != "model-training" {
			t.Fatalf("%+v, %v", list, err)
		}
		var history strings.Builder
		for _, c := range list[0].History {
			fmt.Fprint(&history, c.State, " ", c.Reference, " ", int(c.At.Sub(now).Minutes()), "; ")
		}
		if want := "granted form of 1 1; granted form of 2 2; withdrawn form of 3 3; granted form of 5 0; "; history.String() != want {
			t.Errorf("history %q, want %q", history.String(), want)
		}
		for _, c := range list {
			wantNow(c.Purpose, ConsentState{c.State, c.Since, c.Changes}) // what is derived from the history is what is kept beside it
		}
		// What was noted is what was added, and names the person by the pseudonym.
		noted, err := v.ClaimUnsaid(t.Context(), 10, now, now.Add(time.Minute))
		if err != nil || len(noted) != 5 || noted[0].Record != subject.ID.String() {
			t.Errorf("to be said: %+v, %v", noted, err)
		}
		if unknown, err := v.Consents(t.Context(), gdpr.SubjectID{1}); err != nil || len(unknown) != 0 {
			t.Errorf("of nobody: %+v, %v", unknown, err)
		}
	})
}

// Changes at the same time are put in an order without gaps; the last one holds, and all are kept.
func TestConsentRace(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		now := time.Now()
		const each = 20
		var group sync.WaitGroup
		for _, state := range []gdpr.ConsentState{gdpr.ConsentGranted, gdpr.ConsentWithdrawn} {
			for _, caller := range []string{"a", "b"} { // two who repeat the same calls
				group.Go(func() {
					for i := range each {
						id := fmt.Sprint(state, i)
						if i%2 == 0 {
							id += caller
						}
						if _, _, _, err := consents(v, id, "ads", state, now); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		group.Wait()
		subject, found, err := v.Find(t.Context(), Identity{"acme", "mia"})
		if err != nil || !found {
			t.Fatal(found, err)
		}
		list, err := v.Consents(t.Context(), subject.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		// Withdrawals that came before mia was known are not there.
		history := list[0].History
		ids := map[string]bool{}
		grants := 0
		for _, c := range history {
			if ids[c.ID] {
				t.Errorf("%s is there twice", c.ID)
			}
			ids[c.ID] = true
			if c.State == gdpr.ConsentGranted {
				grants++
			}
		}
		if grants != each*3/2 {
			t.Errorf("%d grants, want %d", grants, each*3/2)
		}
		last, err := v.Consent(t.Context(), Identity{"acme", "mia"}, "ads")
		if err != nil || last.State != history[len(history)-1].State || last.Changes != len(history) {
			t.Errorf("%+v holds, of %d changes, %v", last, len(history), err)
		}
	})
}

// A person's consents go with the person, whichever way, and do not hold for the stranger who comes by that name.
func TestErasedConsents(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		mia := Identity{"acme", "mia"}
		now := time.Now()
		ways := map[string]func(id gdpr.SubjectID) error{
			"erased": func(id gdpr.SubjectID) error {
				_, _, err := v.Erase(t.Context(), erasure(1, id, now))
				return err
			},
			"destroyed": func(id gdpr.SubjectID) error { return v.Destroy(t.Context(), id) },
		}
		for name, way := range ways {
			if _, _, added, err := consents(v, "form 1", "ads", gdpr.ConsentGranted, now); err != nil || !added {
				t.Fatalf("%s: %v, %v", name, added, err)
			}
			subject, _, err := v.Find(t.Context(), mia)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := v.Traces(t.Context(), subject.ID, subject.Keys.ID); err != nil || n != 4 {
				t.Errorf("%s: %d traces before, %v", name, n, err)
			}
			if err := way(subject.ID); err != nil {
				t.Fatal(err)
			}
			if n, err := v.Traces(t.Context(), subject.ID, subject.Keys.ID); err != nil || n != 0 {
				t.Errorf("%s: %d traces are left, %v", name, n, err)
			}
			subjectsOf(t, v, mia)
			if state, err := v.Consent(t.Context(), mia, "ads"); err != nil || state != (ConsentState{}) {
				t.Errorf("%s: the stranger has %+v, %v", name, state, err)
			}
		}
	})
}

// However erasures and consents meet, no consent is left of somebody who is gone.
func TestConsentWhileErasing(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		mia := Identity{"acme", "mia"}
		for round := range 30 {
			subject := subjectsOf(t, v, mia)[0]
			var group sync.WaitGroup
			group.Go(func() {
				if _, _, err := v.Erase(context.Background(), erasure(byte(round+1), subject.ID, time.Now())); err != nil {
					t.Error(err)
				}
			})
			for i := range 3 {
				group.Go(func() {
					if _, _, _, err := consents(v, fmt.Sprint(round, i), "ads", []gdpr.ConsentState{gdpr.ConsentGranted, gdpr.ConsentWithdrawn}[i%2], time.Now()); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			for _, table := range belongings {
				left, err := collect(t.Context(), v.db.read, scanCount, `SELECT count(*) FROM `+table+` WHERE subject NOT IN (SELECT id FROM subjects)`)
				if err != nil || left[0] != 0 {
					t.Fatalf("round %d: %d rows of nobody in %s, %v", round, left[0], table, err)
				}
			}
		}
	})
}

// A history is bounded; what is granted can be withdrawn all the same.
func TestTooManyConsents(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		now := time.Now()
		if _, _, _, err := consents(v, "", "ads", gdpr.ConsentGranted, now); err != nil {
			t.Fatal(err)
		}
		subject, _, err := v.Find(t.Context(), Identity{"acme", "mia"})
		if err != nil {
			t.Fatal(err)
		}
		fill := `INSERT INTO consent_changes (id, subject, purpose, number, state, at_micros)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT ` + map[string]string{
			DriverSQLite: `randomblob(16)`, DriverPostgres: `uuid_send(gen_random_uuid())`,
		}[cfg.Driver] + `, s.id, 'filler', i, 'withdrawn', 0 FROM n CROSS JOIN subjects s`
		if _, err := v.db.exec(t.Context(), fill, maxConsentChanges-1); err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct {
			purpose string
			state   gdpr.ConsentState
			want    error
		}{
			{"ads", gdpr.ConsentGranted, ErrTooManyConsents},
			{"news", gdpr.ConsentWithdrawn, ErrTooManyConsents},
			{"ads", gdpr.ConsentWithdrawn, nil},
			{"ads", gdpr.ConsentWithdrawn, ErrTooManyConsents},
		} {
			if _, _, _, err := consents(v, "", f.purpose, f.state, now); !errors.Is(err, f.want) {
				t.Errorf("%s %s: %v, want %v", f.purpose, f.state, err, f.want)
			}
		}
		// The filler was not said to this vault.
		if _, err := v.db.exec(t.Context(), `DELETE FROM consent_changes WHERE purpose = 'filler'`); err != nil {
			t.Fatal(err)
		}
		if list, err := v.Consents(t.Context(), subject.ID); err != nil || list[0].State != gdpr.ConsentWithdrawn {
			t.Errorf("%v", err)
		}
	})
}

// References are encrypted, survive a change of the key-encryption key, and cannot be moved to another change.
func TestConsentReferences(t *testing.T) {
	keys, _ := newKeyring(t)
	dir := t.TempDir()
	v := openVault(t, Config{Driver: DriverSQLite, DSN: filepath.Join(dir, "vault.db"), Deployment: "test"}, keys)
	now := time.Now()
	for _, caller := range []string{"signed by mia@example.com", "and again by mia@example.com"} {
		if _, _, _, err := consents(v, caller, "ads", gdpr.ConsentGranted, now); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil || bytes.Contains(content, []byte("mia@example.com")) {
			t.Errorf("%s has a reference or a caller's id, %v", file.Name(), err)
		}
	}
	if _, err := keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Rewrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := v.Retire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	subject, _, err := v.Find(t.Context(), Identity{"acme", "mia"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := v.Consents(t.Context(), subject.ID)
	if err != nil || list[0].History[0].Reference != "form of signed by mia@example.com" {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := v.db.exec(t.Context(), `UPDATE consent_changes SET reference = (SELECT reference FROM consent_changes WHERE number = 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Consents(t.Context(), subject.ID); !errors.Is(err, ErrDamaged) {
		t.Errorf("a reference was moved: %v", err)
	}
}
