package vault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// learned is a vault with a detector's state in it, and what of it is taken for ours.
type learned struct {
	*ordering
	mia, ben gdpr.SubjectID
}

func newLearned(t *testing.T, cfg Config) *learned {
	l := &learned{ordering: newOrdering(t, cfg)}
	l.mia, l.ben = l.people[0].ID, l.people[1].ID
	l.save(10, DetectorState{ID: []byte("ben"), Subject: l.ben, State: []byte("b")}, DetectorState{ID: []byte("k"), Subject: l.mia, State: []byte("m")},
		DetectorState{ID: []byte("tool"), State: []byte("t")})
	l.save(20, DetectorState{ID: []byte("tool"), State: []byte("t2")}) // version 3
	return l
}

func (l *learned) save(offset int64, states ...DetectorState) {
	l.t.Helper()
	if err := l.SaveDetector(l.t.Context(), l.turn, states, DetectorPlaces{"events/3": offset}); err != nil {
		l.t.Fatal(err)
	}
}

// nextTurn has another process, as it were, take over.
func (l *learned) nextTurn() {
	l.t.Helper()
	if err := l.turn.giveBack(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	l.turn = l.NewTurn("detector", shortTurn)
	if err := l.turn.Await(l.t.Context(), nil); err != nil {
		l.t.Fatal(err)
	}
}

// load returns the states by id, the offset that belongs to them, and how many were forged.
func (l *learned) load(ctx context.Context) (states map[string]string, offset int64, forged int, err error) {
	states = map[string]string{}
	places, err := l.LoadDetector(ctx, func(s DetectorState) error {
		states[string(s.ID)] = string(s.State)
		return nil
	}, func(e *ForgedError) {
		if e.Table == tableDetectorStates {
			forged++
		}
	})
	return states, places["events/3"], forged, err
}

// What somebody changes, moves or makes up without the keyring is left out, told, and found by `vault check`; nothing else is.
func TestForgedStatesAreLeftOut(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		all := map[string]string{"ben": "b", "k": "m", "tool": "t2"}
		l := newLearned(t, cfg)
		l.attack(`CREATE TABLE saved AS SELECT * FROM detector_states`)
		f := func(name string, attack []string, forged int, lost ...string) {
			t.Helper()
			t.Run(name, func(t *testing.T) {
				clear(l.ordering.forged)
				for _, statement := range attack {
					l.attack(blobs(cfg.Driver, statement))
				}
				want := maps.Clone(all)
				for _, id := range lost {
					delete(want, id)
				}
				states, offset, n, err := l.load(t.Context())
				if err != nil || offset != 20 || n != forged || !maps.Equal(states, want) {
					t.Errorf("%v at %d, %d forged, %v; want %v, %d forged", states, offset, n, err, want, forged)
				}
				if l.ordering.forged[tableDetectorStates] != (forged > 0) {
					t.Error("nobody was told, or without a reason")
				}
				if forged > 0 {
					l.wantForged(tableDetectorStates)
				}
				l.attack(`DELETE FROM detector_states`)
				l.attack(`INSERT INTO detector_states SELECT * FROM saved`)
			})
		}
		const ben, mia = `X'62656e'`, `X'6b'`
		f("nothing", nil, 0)
		f("state changed", []string{`UPDATE detector_states SET state = X'00' WHERE id = ` + ben}, 1, "ben")
		f("state emptied", []string{`UPDATE detector_states SET state = X'' WHERE id = ` + ben}, 1, "ben")
		f("of nobody, so that no erasure finds it", []string{`UPDATE detector_states SET subject = NULL WHERE id = ` + ben}, 1, "ben")
		f("of somebody else", []string{`UPDATE detector_states SET subject = X'000000000000000000000000000000ff' WHERE id = ` + ben}, 1, "ben")
		f("another version", []string{`UPDATE detector_states SET version = 1 WHERE id = ` + ben}, 1, "ben")
		f("without a MAC", []string{`UPDATE detector_states SET mac = NULL WHERE id = ` + ben}, 1, "ben")
		f("moved to another entity", []string{`DELETE FROM detector_states WHERE id = ` + ben, `UPDATE detector_states SET id = ` + ben + ` WHERE id = ` + mia}, 1, "ben", "k")
		f("copied to another entity", []string{`UPDATE detector_states SET state = (SELECT state FROM detector_states WHERE id = ` + mia + `),
			mac = (SELECT mac FROM detector_states WHERE id = ` + mia + `) WHERE id = ` + ben}, 1, "ben")
		// What is made up hides nothing that is ours, however much of it there is.
		f("made up behind ours", []string{`INSERT INTO detector_states (id, version, subject, state, mac) SELECT id, 3, subject, X'00', mac FROM detector_states WHERE id = ` + ben}, 1)
		f("made up for an entity that is not there", []string{`INSERT INTO detector_states (id, version, state, mac) SELECT X'ff', 3, state, mac FROM detector_states WHERE id = ` + ben}, 1)
		f("made up for a later snapshot", []string{`INSERT INTO detector_states (id, version, state, mac) SELECT id, 900, state, mac FROM detector_states WHERE id = ` + ben}, 1)
		f("pages of it before ours", []string{fmt.Sprintf(`WITH RECURSIVE more (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < %d)
			INSERT INTO detector_states (id, version, state) SELECT X'00', -n, X'00' FROM more`, 2*statesPerRead+1)}, 2*statesPerRead+1)
		// What the threat model says cannot be found: a state that is gone is learned anew.
		f("deleted", []string{`DELETE FROM detector_states WHERE id = ` + ben}, 0, "ben")
	})
}

// A place of somebody's choice would have events skipped. With a snapshot that is not ours nothing counts, and whoever loads after ResetDetector begins with nothing.
func TestForgedSnapshotCountsForNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		l := newLearned(t, cfg)
		restore := l.ordering.save()
		f := func(name string, attack func(l *learned)) {
			t.Helper()
			t.Run(name, func(t *testing.T) {
				l.t = t
				defer restore()
				l.nextTurn()
				attack(l)
				clear(l.ordering.forged)
				if _, _, _, err := l.load(t.Context()); !errors.Is(err, ErrForged) || !l.ordering.forged["detector_snapshot"] {
					t.Errorf("%v, told: %v", err, l.ordering.forged)
				}
				l.nextTurn()
				if err := l.SaveDetector(t.Context(), l.turn, nil, DetectorPlaces{}); !errors.Is(err, ErrForged) && name != "put back" {
					t.Errorf("stored on top of it: %v", err)
				}
				if err := l.ResetDetector(t.Context(), l.turn); err != nil {
					t.Fatal(err)
				}
				l.wantForged()
				if states, offset, _, err := l.load(t.Context()); err != nil || len(states) != 0 || offset != 0 {
					t.Errorf("%v at %d, %v", states, offset, err)
				}
				l.save(7, DetectorState{ID: []byte("tool"), State: []byte("anew")})
				if states, offset, _, err := l.load(t.Context()); err != nil || !maps.Equal(states, map[string]string{"tool": "anew"}) || offset != 7 {
					t.Errorf("%v at %d, %v", states, offset, err)
				}
			})
		}
		for _, set := range []string{`places = '{"events/3":1000000}'`, `version = 2`, `term = 9`, `mac = NULL`} {
			f(set, func(l *learned) { l.attack(`UPDATE detector_snapshot SET ` + set) })
		}
		f("deleted", func(l *learned) { l.attack(`DELETE FROM detector_snapshot`) })
		f("put back", func(l *learned) {
			l.attack(`CREATE TABLE saved AS SELECT * FROM detector_snapshot`)
			l.save(30, DetectorState{ID: []byte("tool"), State: []byte("t3")})
			l.save(40, DetectorState{ID: []byte("tool"), State: []byte("t4")})
			l.attack(`DELETE FROM detector_snapshot`)
			l.attack(`INSERT INTO detector_snapshot SELECT * FROM saved`)
		})
	})
}

// Who has stored a snapshot in this turn knows better than what somebody puts in its place.
func TestSnapshotForgedWhileDetecting(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		l := newLearned(t, cfg)
		l.attack(`CREATE TABLE saved AS SELECT * FROM detector_snapshot`)
		l.save(25)
		for i, attack := range [][]string{
			{`UPDATE detector_snapshot SET version = 900`}, {`UPDATE detector_snapshot SET places = '{"events/3":1000000}'`}, {`DELETE FROM detector_snapshot`},
			{`DELETE FROM detector_snapshot`, `INSERT INTO detector_snapshot SELECT * FROM saved`},
		} {
			for _, statement := range attack {
				l.attack(statement)
			}
			clear(l.ordering.forged)
			l.save(int64(30+i), DetectorState{ID: []byte("tool"), State: []byte{byte(i)}})
			if !l.ordering.forged["detector_snapshot"] {
				t.Errorf("%s: nobody was told", attack)
			}
			states, offset, forged, err := l.load(t.Context())
			if err != nil || offset != int64(30+i) || forged != 0 || !slices.Equal(slices.Sorted(maps.Keys(states)), []string{"ben", "k", "tool"}) || states["tool"] != string([]byte{byte(i)}) {
				t.Errorf("%s: %v at %d, %d forged, %v", attack, states, offset, forged, err)
			}
			l.wantForged()
		}
	})
}

// A snapshot whose outcome was not known is ours all the same.
func TestSnapshotStoredAlthoughItFailed(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		l := newLearned(t, cfg)
		l.turn.stored.Add(-1) // as if the answer to the last one had been lost
		clear(l.ordering.forged)
		l.save(30, DetectorState{ID: []byte("tool"), State: []byte("t3")})
		states, offset, _, err := l.load(t.Context())
		if err != nil || offset != 30 || len(states) != 3 || states["tool"] != "t3" || len(l.ordering.forged) != 0 {
			t.Errorf("%v at %d, %v, told %v", states, offset, err, l.ordering.forged)
		}
	})
}

func BenchmarkStateMAC(b *testing.B) {
	stamp := (&deploymentSecrets{}).stamp()
	row := &stateRow{DetectorState{ID: make([]byte, 60), Subject: gdpr.SubjectID{1}, State: make([]byte, 300)}, 7}
	mac := slices.Clone(stamp.of(row))
	b.ReportAllocs()
	for b.Loop() {
		if stamp.check(row, mac) != nil {
			b.Fatal("forged")
		}
	}
}
