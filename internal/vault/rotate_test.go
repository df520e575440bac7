package vault

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestRewrapAndRetire(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, keyCfg := newKeyring(t)
		v := openVault(t, cfg, keys)
		elsewhereKeys, err := OpenKeyring(t.Context(), keyCfg)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere := openVault(t, cfg, elsewhereKeys) // started before the rotation
		ids := people(0, 2*rewrapBatch+1)
		before := subjectsOf(t, v, ids...)
		day, err := v.DayKey(t.Context(), "2026-11-20")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := v.Rewrap(t.Context()); n != 0 || err != nil {
			t.Errorf("rewrapped %d without a new generation, %v", n, err)
		}
		if _, err := keys.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, generation := range []int{1, 2} {
			if err := v.Retire(t.Context(), generation); !errors.Is(err, ErrGenerationInUse) {
				t.Errorf("retire %d: %v", generation, err)
			}
		}
		if n, err := v.Rewrap(t.Context()); n != len(ids) || err != nil {
			t.Errorf("rewrapped %d, %v", n, err)
		}
		// Whoever started before finds the new generation, and uses it.
		stranger := people(len(ids), 1)
		created := subjectsOf(t, elsewhere, stranger...)
		if err := v.Retire(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(numbers(keys), []int{2}) {
			t.Errorf("generations %v", numbers(keys))
		}
		fresh, err := OpenKeyring(t.Context(), keyCfg)
		if err != nil {
			t.Fatal(err)
		}
		after := openVault(t, cfg, fresh)
		if !slices.Equal(subjectsOf(t, after, ids...), before) || !slices.Equal(subjectsOf(t, after, stranger...), created) {
			t.Error("subjects changed")
		}
		if got, err := after.DayKey(t.Context(), "2026-11-20"); err != nil || got != day {
			t.Errorf("key of the day: %v", err)
		}
		if after.secrets != v.secrets {
			t.Error("the deployment's secrets changed")
		}
		checkSubjects(t, after, len(ids)+1)
	})
}

// People are created and erased while everything is rewrapped, twice over; afterwards nothing needs the old generations.
func TestRewrapBesideWork(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, keyCfg := newKeyring(t)
		v := openVault(t, cfg, keys)
		subjectsOf(t, v, people(0, rewrapBatch)...)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for g := range 3 {
			workerKeys, err := OpenKeyring(t.Context(), keyCfg)
			if err != nil {
				t.Fatal(err)
			}
			worker := openVault(t, cfg, workerKeys)
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					subjects, err := worker.Subjects(t.Context(), people(1_000_000*(g+1)+10*i, 10))
					if err != nil {
						t.Error(err)
						return
					}
					if err := worker.Destroy(t.Context(), subjects[i%10].ID); err != nil && !errors.Is(err, ErrUnavailable) {
						t.Error(err)
						return
					}
				}
			})
		}
		for range 2 {
			if _, err := keys.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Rewrap(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		wg.Wait()
		for _, generation := range []int{1, 2} {
			if err := v.Retire(t.Context(), generation); err != nil {
				t.Error(err)
			}
		}
		checkSubjects(t, v, -1)
		if used, err := v.usedGenerations(t.Context()); err != nil || len(used) != 1 {
			t.Errorf("%d generations in use, %v", len(used), err)
		}
	})
}

// A keyring that was restored from before the rotation must not take the vault back to the older key.
func TestRewrapNeverGoesBack(t *testing.T) {
	keys, keyCfg := newKeyring(t)
	v := openVault(t, emptyDatabase(t, DriverSQLite), keys)
	old := slices.Clone(keys.generations)
	if _, err := keys.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Rewrap(t.Context()); err != nil {
		t.Fatal(err)
	}
	source, err := newKeySource(keyCfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(source.file, encodeKeyring(old)); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Rewrap(t.Context()); !errors.Is(err, ErrWrongKeyring) {
		t.Errorf("Rewrap: %v", err)
	}
	if _, err := v.Identify(t.Context(), []gdpr.SubjectID{{1}}); err != nil {
		t.Error(err)
	}
}

// Rotate does nothing before its time; then it does everything, and a backup from before does not open any more.
func TestRotate(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, keyCfg := newKeyring(t)
		v := openVault(t, cfg, keys)
		ids := people(0, 10)
		before := subjectsOf(t, v, ids...)
		if done, err := v.Rotate(t.Context(), time.Hour); err != nil || done.Added != 0 || done.Rewrapped != 0 || done.Retired != nil {
			t.Errorf("too early: %+v, %v", done, err)
		}
		old := keys.generations[0]
		done, err := v.Rotate(t.Context(), 0)
		if err != nil || done.Added != 2 || done.Rewrapped != len(ids) || !slices.Equal(done.Retired, []int{1}) || !slices.Equal(numbers(keys), []int{2}) {
			t.Fatalf("%+v, %v, generations %v", done, err, numbers(keys))
		}
		if !slices.Equal(subjectsOf(t, v, ids...), before) {
			t.Error("subjects changed")
		}
		// Interrupted after the generation was added, by a process that is gone.
		other, err := OpenKeyring(t.Context(), keyCfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		again := openVault(t, cfg, other)
		if done, err := again.Rotate(t.Context(), time.Hour); err != nil || done.Added != 0 || done.Rewrapped != len(ids) || !slices.Equal(done.Retired, []int{2}) {
			t.Errorf("went on: %+v, %v", done, err)
		}
		for _, g := range other.generations {
			if g.key == old.key {
				t.Error("the keyring still has the old key")
			}
		}
		// The one that has not rotated finds its way.
		stranger := people(100, 1)
		if created := subjectsOf(t, v, stranger...); len(created) != 1 {
			t.Error(created)
		}
		if done, err := v.Rotate(t.Context(), time.Hour); err != nil || done.Added != 0 {
			t.Errorf("again: %+v, %v", done, err)
		}
	})
}
