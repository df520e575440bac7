package vault

import (
	"crypto/ed25519"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// at is a time that survives the way into the database and back.
var at = time.Date(2026, 11, 20, 21, 14, 5, 123456000, time.UTC)

func TestCheckpoints(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		const log = "agent.events/3"
		if _, ok, err := v.Checkpoint(t.Context(), log); ok || err != nil {
			t.Fatalf("checkpoint of an unknown log: %v, %v", ok, err)
		}
		swap := func(oldSize uint64, next Checkpoint, want bool) {
			t.Helper()
			if swapped, err := v.CompareAndSwapCheckpoint(t.Context(), log, oldSize, next); swapped != want || err != nil {
				t.Errorf("swap %d to %d: %v, %v", oldSize, next.Size, swapped, err)
			}
		}
		one, two := Checkpoint{log, 5, chain.Hash{1}, chain.Hash{11}, "note 1", at}, Checkpoint{log, 1 << 40, chain.Hash{2}, chain.Hash{12}, "note 2", at.Add(time.Microsecond)}
		swap(3, one, false) // there is none of 3 entries
		swap(0, one, true)
		swap(0, two, false)
		swap(5, two, true)
		swap(5, Checkpoint{Log: log, Size: 6, Head: chain.Hash{3}, At: at}, false)
		if got, ok, err := v.Checkpoint(t.Context(), log); got != two || !ok || err != nil {
			t.Errorf("checkpoint %+v, %v, %v", got, ok, err)
		}
		for _, wrong := range []Checkpoint{{Log: log, Size: 1 << 40, At: at}, {Log: log, At: at}, {Log: log, Size: 1 << 63, At: at}, {Log: "other/0", Size: 1 << 41, At: at}} {
			if _, err := v.CompareAndSwapCheckpoint(t.Context(), log, 1<<40, wrong); err == nil {
				t.Errorf("accepted %+v", wrong)
			}
		}
		stale := two
		stale.Root = chain.Hash{99}
		for _, c := range []Checkpoint{one, stale} { // it has moved on, or is another
			if err := v.ReplaceNote(t.Context(), c, "stale"); err != nil {
				t.Error(err)
			}
		}
		if err := v.ReplaceNote(t.Context(), two, "note 2, signed by two"); err != nil {
			t.Error(err)
		}
		two.Note = "note 2, signed by two"
		other := Checkpoint{"agent.events/10", 1, chain.Hash{4}, chain.Hash{14}, "note 4", at}
		if _, err := v.CompareAndSwapCheckpoint(t.Context(), other.Log, 0, other); err != nil {
			t.Fatal(err)
		}
		if all, err := v.Checkpoints(t.Context()); err != nil || !reflect.DeepEqual(all, []Checkpoint{other, two}) {
			t.Errorf("all: %+v, %v", all, err)
		}
	})
}

// Of many who swap the same checkpoint, one does.
func TestCheckpointRace(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		for size := range uint64(10) {
			var won atomic.Int32
			var wg sync.WaitGroup
			for i := range 6 {
				wg.Go(func() {
					swapped, err := v.CompareAndSwapCheckpoint(t.Context(), "l/0", size, Checkpoint{Log: "l/0", Size: size + 1, Head: chain.Hash{byte(i)}, At: at})
					if err != nil {
						t.Error(err)
					}
					if swapped {
						won.Add(1)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d swapped size %d", won.Load(), size)
			}
		}
	})
}

func TestGenerations(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		if got, err := v.CurrentLog(t.Context(), "agent.events", 3); err != nil || got != (Generation{Topic: "agent.events", Partition: 3, Log: "agent.events/3"}) {
			t.Fatalf("first log: %+v, %v", got, err)
		}
		next := func(number int) Generation {
			return Generation{"agent.events", 3, number, chain.LogName("agent.events", 3, number), chain.LogName("agent.events", 3, number-1), 77, chain.Hash{1},
				90211, "gap: records 7 to 9 had expired", at}
		}
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				switch err := v.Reopen(t.Context(), 0, next(1)); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, ErrSuperseded):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d reopened", won.Load())
		}
		if err := v.Reopen(t.Context(), 1, next(2)); err != nil {
			t.Fatal(err)
		}
		for _, from := range []int{0, 1, 3} {
			if err := v.Reopen(t.Context(), from, next(from+1)); !errors.Is(err, ErrSuperseded) {
				t.Errorf("from %d: %v", from, err)
			}
		}
		if err := v.Reopen(t.Context(), 2, next(4)); err == nil || errors.Is(err, ErrSuperseded) {
			t.Errorf("number skipped: %v", err)
		}
		if got, err := v.CurrentLog(t.Context(), "agent.events", 3); err != nil || got != next(2) {
			t.Errorf("current: %+v, %v", got, err)
		}
		if got, err := v.CurrentLog(t.Context(), "agent.events", 4); err != nil || got.Generation != 0 {
			t.Errorf("another partition: %+v, %v", got, err)
		}
		if all, err := v.Generations(t.Context()); err != nil || !reflect.DeepEqual(all, []Generation{next(1), next(2)}) {
			t.Errorf("all: %+v, %v", all, err)
		}
	})
}

func TestAuthors(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		ingest := Author{"ingest", ed25519.PublicKey(make([]byte, 32))}
		exporter := Author{"exporter", append(ed25519.PublicKey{1}, make([]byte, 31)...)}
		for _, a := range []Author{ingest, exporter, ingest} {
			if err := v.AddAuthor(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}
		if err := v.AddAuthor(t.Context(), Author{"ingest", exporter.Key}); !errors.Is(err, ErrExists) {
			t.Errorf("key replaced: %v", err)
		}
		for _, wrong := range []Author{{"", exporter.Key}, {"x", nil}} {
			if err := v.AddAuthor(t.Context(), wrong); err == nil {
				t.Errorf("accepted %+v", wrong)
			}
		}
		if got, ok, err := v.Author(t.Context(), "ingest"); !ok || err != nil || !reflect.DeepEqual(got, ingest) {
			t.Errorf("ingest: %+v, %v, %v", got, ok, err)
		}
		if _, ok, err := v.Author(t.Context(), "none"); ok || err != nil {
			t.Errorf("none: %v, %v", ok, err)
		}
		if all, err := v.Authors(t.Context()); err != nil || !reflect.DeepEqual(all, []Author{exporter, ingest}) {
			t.Errorf("all: %+v, %v", all, err)
		}
	})
}

func TestDayKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		days := []string{"2026-11-18", "2026-11-19", "2026-11-20"}
		keys := make([]gdpr.Keys, len(days))
		for i, day := range days {
			var wg sync.WaitGroup
			got := make([]gdpr.Keys, 6)
			for n := range got {
				wg.Go(func() {
					var err error
					if got[n], err = v.DayKey(t.Context(), day); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			for _, k := range got {
				if k != got[0] || k.Content == [32]byte{} {
					t.Fatalf("%s has several keys or none", day)
				}
			}
			keys[i] = got[0]
		}
		for _, want := range []int{2, 0} {
			if n, err := v.destroyDayKeys(t.Context(), "2026-11-20", at); n != want || err != nil {
				t.Errorf("destroyed %d, %v, want %d", n, err, want)
			}
		}
		if _, err := v.destroyDayKeys(t.Context(), "2026-11-01", at); err != nil { // does not lower the bound
			t.Error(err)
		}
		if _, err := v.DayKey(t.Context(), "2026-11-19"); !errors.Is(err, ErrDestroyed) {
			t.Errorf("a destroyed day: %v", err)
		}
		if got, err := v.DayKey(t.Context(), "2026-11-20"); err != nil || got != keys[2] {
			t.Errorf("a kept day: %v", err)
		}
		left, err := v.KeysByID(t.Context(), []gdpr.KeyID{keys[0].ID, keys[1].ID, keys[2].ID})
		if err != nil || len(left) != 1 || left[keys[2].ID] != keys[2] {
			t.Errorf("%d keys left, %v", len(left), err)
		}
		for _, day := range []string{"", "2026-13-01", "2026-1-1", "today", "2026-11-20T00:00:00Z"} {
			if _, err := v.DayKey(t.Context(), day); err == nil {
				t.Errorf("day %q accepted", day)
			}
		}
	})
}
