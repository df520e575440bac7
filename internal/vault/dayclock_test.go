package vault

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestDayTowards(t *testing.T) {
	f := func(known, want string) {
		t.Helper()
		if got, err := dayTowards(known, at); got != want || err != nil {
			t.Errorf("%s: %s, %v, want %s", known, got, err, want)
		}
	}
	f("2026-11-20", "2026-11-20")
	f("2026-11-19", "2026-11-20")
	f("2026-10-31", "2026-11-01")
	f("2026-11-21", "2026-11-20")
	f("2027-01-01", "2026-12-31")
	if _, err := dayTowards("yesterday", at); !errors.Is(err, ErrDamaged) {
		t.Errorf("no date: %v", err)
	}
}

// keeper destroys day keys hour by hour, as the exporter does, keeping so many days.
type keeper struct {
	t    *testing.T
	v    *Vault
	now  time.Time
	days int
}

func (k *keeper) destroy() (int, error) {
	before := k.now.UTC().AddDate(0, 0, -k.days).Format(time.DateOnly)
	return k.v.destroyDayKeys(k.t.Context(), before, k.now)
}

func (k *keeper) today() string { return k.now.UTC().Format(time.DateOnly) }

func (k *keeper) keyOfToday() {
	k.t.Helper()
	if _, err := k.v.DayKey(k.t.Context(), k.today()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *keeper) keys() (n int) {
	k.t.Helper()
	if err := k.v.db.read.QueryRowContext(k.t.Context(), `SELECT count(*) FROM day_keys`).Scan(&n); err != nil {
		k.t.Fatal(err)
	}
	return n
}

// Ordinary days: on each the oldest key goes at the first hour, also while no new ones are made.
func TestDayKeysGoDayByDay(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		for _, days := range []int{1, 3} {
			k := &keeper{t, newVault(t, emptyDatabase(t, cfg.Driver)), at, days}
			if n, err := k.destroy(); n != 0 || err != nil {
				t.Fatalf("no key at all: %d, %v", n, err)
			}
			for day := range 8 {
				if day < 5 {
					k.keyOfToday()
				}
				for hour := range 24 {
					n, err := k.destroy()
					if err != nil || n > 1 {
						t.Fatalf("day %d, hour %d: %d, %v", day, hour, n, err)
					}
					k.now = k.now.Add(time.Hour)
				}
				// Kept are the keys of the last days and of today, which began 3 hours ago.
				first, last := max(0, day+1-days), min(4, day)
				if got, want := k.keys(), max(0, last-first+1); got != want {
					t.Errorf("%d days kept: %d keys after day %d, want %d", days, got, day, want)
				}
			}
		}
	})
}

// A clock that jumps ahead destroys nothing, however far it jumps, and everything goes on as before when it is right again.
func TestClockJumpDestroysNoDayKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		k := &keeper{t, newVault(t, cfg), at, 2}
		for range 3 {
			k.keyOfToday()
			if n, err := k.destroy(); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			k.now = k.now.AddDate(0, 0, 1)
		}
		right := k.now
		k.now = right.AddDate(10, 0, 0)
		for range 48 {
			n, err := k.destroy()
			if n != 0 || !errors.Is(err, ErrClock) {
				t.Fatalf("the clock is ahead: %d, %v", n, err)
			}
			if k.now.Equal(right.AddDate(10, 0, 0)) && (!strings.Contains(err.Error(), "before 2036-11-21") || !strings.Contains(err.Error(), "than 2026-11-23 is known")) {
				t.Errorf("the days are not named: %v", err)
			}
			k.now = k.now.Add(time.Hour)
		}
		if k.keys() != 3 {
			t.Fatalf("%d keys left", k.keys())
		}
		k.now = right
		if n, err := k.destroy(); n != 1 || err != nil {
			t.Errorf("the clock is right again: %d, %v", n, err)
		}
		k.keyOfToday()
	})
}

// A machine that was off for days destroys what is due within as many hours.
func TestDayKeysAfterDaysOff(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		k := &keeper{t, newVault(t, cfg), at, 1}
		k.keyOfToday()
		if n, err := k.destroy(); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		k.now = k.now.AddDate(0, 0, 3)
		if n, err := k.destroy(); n != 0 || !errors.Is(err, ErrClock) {
			t.Errorf("first hour: %d, %v", n, err)
		}
		if n, err := k.destroy(); n != 1 || err != nil {
			t.Errorf("second hour: %d, %v", n, err)
		}
	})
}
