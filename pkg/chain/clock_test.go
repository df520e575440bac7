package chain

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimesAreThoseOfTheTimePackage(t *testing.T) {
	check := func(t interface {
		Helper()
		Fatalf(string, ...any)
	}, micros int64) {
		t.Helper()
		at := time.UnixMicro(micros).UTC()
		if got, want := string(appendMicros(nil, micros)), at.Format("2006-01-02T15:04:05.000000Z"); got != want {
			t.Fatalf("%d: got %s, want %s", micros, got, want)
		}
		if got, ok := parseMicros(appendMicros(nil, micros)); !ok || got != micros {
			t.Fatalf("%s: read as %d", at, got)
		}
		millis := at.UnixMilli()
		if got, want := string(appendMillis(nil, millis)), at.Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Fatalf("%d: got %s, want %s", millis, got, want)
		}
		if got, ok := parseMillis(appendMillis(nil, millis)); !ok || got != millis {
			t.Fatalf("%s: read as %d", at, got)
		}
	}
	// Every day of 801 years, two whole eras and what joins them; then any time.
	for day := int64(-200 * 365); day < 601*366; day++ {
		check(t, day*secondsPerDay*1_000_000+86_399_999_999)
	}
	check(t, minSeconds*1_000_000)
	check(t, maxSeconds*1_000_000+999_999)
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.Int64Range(minSeconds*1_000_000, maxSeconds*1_000_000+999_999).Draw(t, "micros"))
	})
}

func TestEpochOf(t *testing.T) {
	west := time.FixedZone("west", -5*3600)
	if got := EpochOf(time.Date(2026, 11, 30, 23, 0, 0, 0, west)); got != 202612 {
		t.Errorf("epoch %d: not that of UTC", got)
	}
}
