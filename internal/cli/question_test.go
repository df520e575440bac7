package cli

import (
	"testing"
	"time"
)

func TestSince(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f := func(text string, want time.Time) {
		t.Helper()
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	f("", time.Time{})
	f("30m", now.Add(-30*time.Minute))
	f("7d", now.AddDate(0, 0, -7))
	f("2026-11-19", time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC))
	f("2026-11-19T08:00:00+01:00", time.Date(2026, 11, 19, 7, 0, 0, 0, time.UTC))
	for _, text := range []string{"yesterday", "-1h", "-1d", "7", "2026-13-01"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestLimit(t *testing.T) {
	for limit, good := range map[int]bool{-1: false, 0: false, 1: true, 100: true, 101: false} {
		if err := checkLimit(limit, 100); (err == nil) != good {
			t.Errorf("%d: %v", limit, err)
		}
	}
}
