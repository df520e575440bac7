package notify

import (
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
)

// TestRetryAfterIsBounded: a receiver that asks for a year is asked again in a quarter of an hour, and one that asks for nothing is not asked at once.
func TestRetryAfterIsBounded(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{0: time.Second, 90 * time.Second: 90 * time.Second, 365 * 24 * time.Hour: maxRetryAfter} {
		f := failure{kind: rateLimited, retryAfter: asked}
		if got := f.wait(newBackoff(), newBackoff()); got != want {
			t.Errorf("%s: %s, want %s", asked, got, want)
		}
	}
}

// TestDigestsOfLongAgo: after a month in which nobody was there, the last days are summarised and no others, each once.
func TestDigestsOfLongAgo(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		due := time.Now().UTC().Truncate(day).Add(-day)
		if err := w.n.keepDigest(t.Context(), &digest{Day: due.Add(-30 * day)}, 0, nil); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := w.n.digestUpTo(t.Context(), due, 0); err != nil {
				t.Fatal(err)
			}
			w.pass(time.Minute)
			if m := w.top(alerts); len(m) != digestDays {
				t.Errorf("%d messages, want %d", len(m), digestDays)
			}
		}
		last, found, err := w.vault.LatestNotice(t.Context(), vault.NoticeDigest)
		if err != nil || !found || !last.At.Equal(due) {
			t.Errorf("%v, %v, %v", last.At, found, err)
		}
	})
}
