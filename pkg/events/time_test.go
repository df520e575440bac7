package events

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTimeAgreesWithStandardLibrary draws times with impossible days, hours and zones among them
// (but no zone of 60 minutes and none of 24 hours: time.Parse takes those, RFC 3339 does not).
func TestTimeAgreesWithStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(19|20|21|22)\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-5]\d(\.\d{1,9})?(Z|[+-][0-2]\d:[0-5]\d)`).Draw(t, "time")
		want, err := time.Parse(time.RFC3339Nano, text)
		micros, fault := parseTime([]byte(text))
		if zone := text[len(text)-6:]; zone[1:3] == "24" {
			return
		}
		switch {
		case err != nil && fault != reasonTime:
			t.Fatalf("%q, time.Parse says %v", fault, err)
		case err != nil:
		case want.UnixMicro() < minTimeMicros && fault != reasonBefore2000,
			want.UnixMicro() >= endTimeMicros && fault != reasonAfter2199:
			t.Fatalf("%q for %v", fault, want)
		case fault == "" && micros != want.UnixMicro():
			t.Fatalf("%d, want %d", micros, want.UnixMicro())
		case fault == reasonTime:
			t.Fatalf("refused, time.Parse says %v", want)
		}
	})
}

func TestTimeBounds(t *testing.T) {
	if got := time.UnixMicro(minTimeMicros).UTC(); got != time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Error(got)
	}
	if got := time.UnixMicro(endTimeMicros).UTC(); got != time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Error(got)
	}
}

// TestDays compares every day from 1896 to 2304.
func TestDays(t *testing.T) {
	for day := time.Date(1896, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2304; day = day.AddDate(0, 0, 1) {
		if got := daysSince1970(uint(day.Year()), uint(day.Month()), uint(day.Day())); got*86400 != day.Unix() {
			t.Fatalf("%v: %d", day, got)
		}
	}
}
