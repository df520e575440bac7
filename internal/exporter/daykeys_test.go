package exporter

import (
	"errors"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
)

func TestFirstDayKept(t *testing.T) {
	west := time.FixedZone("west", -8*3600)
	f := func(now time.Time, keepDays int, want string) {
		t.Helper()
		if got := firstDayKept(now, keepDays); got != want {
			t.Errorf("%v, %d days: %s, want %s", now, keepDays, got, want)
		}
	}
	f(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), 1, "2026-11-19")
	f(time.Date(2026, 11, 20, 23, 59, 59, 0, time.UTC), 30, "2026-10-21")
	f(time.Date(2026, 11, 20, 20, 0, 0, 0, west), 1, "2026-11-20") // the 21st in UTC
}

func TestDayKeysExpire(t *testing.T) {
	r := newRig(t)
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	for _, ago := range []int{45, 31, 29, 0} {
		if _, err := r.vault.DayKey(t.Context(), day(ago)); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	testkit.Eventually(t, soon, func() bool {
		_, err := r.vault.DayKey(t.Context(), day(31))
		return errors.Is(err, vault.ErrDestroyed)
	}, "the key of 31 days ago is destroyed")
	for _, ago := range []int{29, 0} {
		if _, err := r.vault.DayKey(t.Context(), day(ago)); err != nil {
			t.Errorf("%d days ago: %v", ago, err)
		}
	}
}

// The clock is years ahead of the newest key: nothing is destroyed, and the exporter asks again only in an hour, because the vault believes a day more with each
// call.
func TestDayKeysOutliveAClockJump(t *testing.T) {
	r := newRig(t)
	const day = "2020-01-02"
	before, err := r.vault.DayKey(t.Context(), day)
	if err != nil {
		t.Fatal(err)
	}
	p := r.start()
	if pause := p.destroyDayKeys(t.Context()); pause != expireEvery {
		t.Errorf("the next try is in %v", pause)
	}
	if got, err := r.vault.DayKey(t.Context(), day); got != before || err != nil {
		t.Errorf("the key is gone: %v", err)
	}
}
