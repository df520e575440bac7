package detector

import (
	"testing"
	"time"
)

// TestRecorded: one record that says 9999, or 1900, must not close all minutes to come, or be from before there were any.
func TestRecorded(t *testing.T) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	f := func(at, want time.Time) {
		t.Helper()
		if got := recorded(at.UnixMilli(), now); got != want.UnixMicro() {
			t.Errorf("%s is recorded at %s, want %s", at, time.UnixMicro(got).UTC(), want)
		}
	}
	f(now, now)
	f(now.Add(-24*time.Hour), now.Add(-24*time.Hour))
	f(now.Add(maxAheadOfUs), now.Add(maxAheadOfUs))
	f(now.Add(time.Hour), now.Add(maxAheadOfUs))
	f(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), now.Add(maxAheadOfUs))
	f(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0))
}
