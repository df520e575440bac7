package vault

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// shortTurn keeps tests quick, and leaves a loaded machine time for a sign of life.
const shortTurn = 1500 * time.Millisecond

// held is a turn that is being held.
type held struct {
	*Turn
	release func() // gives it back
	lost    chan error
}

func take(t *testing.T, v *Vault) *held {
	t.Helper()
	turn := v.NewTurn("detector", shortTurn)
	if err := turn.Await(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &held{Turn: turn, release: cancel, lost: make(chan error, 1)}
	go func() { h.lost <- turn.Hold(ctx, nil) }() // ends with ctx
	t.Cleanup(cancel)
	return h
}

func TestTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		first := take(t, v)
		if !first.Held() || first.Term() != 1 {
			t.Fatalf("held %v, term %d", first.Held(), first.Term())
		}

		// Another one waits for as long as there are signs of life.
		waiting, cancel := context.WithTimeout(t.Context(), 3*shortTurn)
		defer cancel()
		second := v.NewTurn("detector", shortTurn)
		if err := second.Await(waiting, nil); !errors.Is(err, context.DeadlineExceeded) || second.Held() {
			t.Fatalf("a second one has it: %v", err)
		}
		if !first.Held() {
			t.Fatal("the first one has lost it although nobody took it")
		}

		// What is given back is taken at once.
		first.release()
		if err := <-first.lost; err != nil || first.Held() {
			t.Fatalf("given back: %v, held %v", err, first.Held())
		}
		if err := second.Await(t.Context(), nil); err != nil || second.Term() < 2 {
			t.Fatalf("term %d, %v", second.Term(), err)
		}

		// Who gives no sign of life any more has lost it by his own clock before anybody else has it.
		third := v.NewTurn("detector", shortTurn)
		if err := third.Await(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if second.Held() {
			t.Error("two hold it at once")
		}
		if err := second.Hold(t.Context(), nil); !errors.Is(err, ErrTurnLost) {
			t.Errorf("the one that slept: %v", err)
		}
	})
}

func TestDetectorStates(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		turn := take(t, v)
		subjects := subjectsOf(t, v, people(0, 2)...)
		a, b, gone := subjects[0].ID, subjects[1].ID, gdpr.SubjectID{9}
		state := func(id byte, subject gdpr.SubjectID, text string) DetectorState {
			return DetectorState{ID: []byte{'k', id}, Subject: subject, State: []byte(text)}
		}
		load := func() (states map[string]string, places DetectorPlaces) {
			t.Helper()
			states = map[string]string{}
			places, err := v.LoadDetector(t.Context(), func(s DetectorState) error {
				states[string(s.ID)] = string(s.State)
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return states, places
		}
		want := func(wanted map[string]string, offset int64) {
			t.Helper()
			states, places := load()
			if len(states) != len(wanted) || places["events/0"] != offset {
				t.Fatalf("%v at %v, want %v at %d", states, places, wanted, offset)
			}
			for id, text := range wanted {
				if states[id] != text {
					t.Errorf("%q: %q, want %q", id, states[id], text)
				}
			}
		}
		save := func(offset int64, states ...DetectorState) error {
			return v.SaveDetector(t.Context(), turn.Turn, states, DetectorPlaces{"events/0": offset})
		}
		want(map[string]string{}, 0)
		var many []DetectorState
		wanted := map[string]string{}
		for i := range 3 * statesPerRead / 2 {
			many = append(many, DetectorState{ID: []byte{'m', byte(i >> 8), byte(i)}, State: []byte("x")})
			wanted[string(many[i].ID)] = "x"
		}
		if err := save(10, append(many, state(1, a, "a1"), state(2, b, "b1"), state(3, gdpr.SubjectID{}, "agent"), state(4, gone, "of nobody"))...); err != nil {
			t.Fatal(err)
		}
		wanted["k\x01"], wanted["k\x02"], wanted["k\x03"] = "a1", "b1", "agent"
		want(wanted, 10)
		if err := save(20, state(1, a, "a2"), state(3, gdpr.SubjectID{}, "")); err != nil {
			t.Fatal(err)
		}
		wanted["k\x01"] = "a2"
		delete(wanted, "k\x03")
		want(wanted, 20)

		// What a crash leaves of a snapshot counts for nothing, and the next one removes it.
		torn := &stateRow{DetectorState{ID: []byte("k\x02"), State: []byte("torn")}, 3}
		if _, err := v.db.exec(t.Context(), `INSERT INTO detector_states (id, version, subject, state, mac) VALUES (?, 3, NULL, ?, ?)`, torn.ID, torn.State, v.mac(torn)); err != nil {
			t.Fatal(err)
		}
		want(wanted, 20)

		// Who is erased is gone from it at once, and does not come back with what was on its way.
		if err := v.Destroy(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		delete(wanted, "k\x02")
		want(wanted, 20)
		if err := save(30, state(2, b, "b late")); err != nil {
			t.Fatal(err)
		}
		want(wanted, 30)
		var rows int
		if err := v.db.read.QueryRowContext(t.Context(), `SELECT count(*) FROM detector_states`).Scan(&rows); err != nil || rows != len(wanted) {
			t.Errorf("%d rows for %d states, %v", rows, len(wanted), err)
		}

		// Who has lost the turn stores nothing.
		turn.release()
		<-turn.lost
		take(t, v)
		if err := save(40, state(1, a, "of one who slept")); !errors.Is(err, ErrTurnLost) {
			t.Errorf("saved after the turn was lost: %v", err)
		}
		want(wanted, 30)
	})
}

// takeAway holds the write lock of a vault in SQLite, so that nobody else can write, until back is called or the test ends.
func takeAway(t *testing.T, v *Vault) (back func()) {
	t.Helper()
	tx, err := v.db.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), `UPDATE turns SET beat = beat WHERE name = 'nobody'`); err != nil { // it only holds the lock
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTurnOutlastsTheVault: while the vault is away nobody can be sure of the turn, and nobody gives it up.
func TestTurnOutlastsTheVault(t *testing.T) {
	cfg := emptyDatabase(t, DriverSQLite)
	v := newVault(t, cfg)
	turn := take(t, v)
	back := takeAway(t, v)
	testkit.Eventually(t, 10*shortTurn, func() bool { return !turn.Held() }, "without a sign of life the turn is uncertain")
	back()
	testkit.Eventually(t, 10*shortTurn, turn.Held, "it is this process's again")
	turn.release()
	if err := <-turn.lost; err != nil {
		t.Error(err)
	}
}

// TestCertain: whoever was stopped and wakes up hears that the turn is another's before doing anything, and whoever cannot ask goes on.
func TestCertain(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		sleeper := v.NewTurn("detector", shortTurn)
		if err := sleeper.Await(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := sleeper.Certain(t.Context()); err != nil {
			t.Errorf("right after it was taken: %v", err)
		}
		second := take(t, v) // nobody holds the first one
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { cancel(sleeper.Hold(ctx, nil)) }() // ends soon: the turn is lost
		if err := sleeper.Certain(ctx); !errors.Is(err, ErrTurnLost) {
			t.Errorf("what another one has: %v", err)
		}
		if err := second.Certain(t.Context()); err != nil {
			t.Error(err)
		}
	})
	cfg := emptyDatabase(t, DriverSQLite)
	v := newVault(t, cfg)
	turn := take(t, v)
	back := takeAway(t, v)
	testkit.Eventually(t, 10*shortTurn, func() bool { return !turn.Held() }, "without a sign of life the turn is uncertain")
	if err := turn.Certain(t.Context()); err != nil {
		t.Errorf("while the vault is away: %v", err)
	}
	turn.release()
	back()
	<-turn.lost
}
