package sample

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// received takes events, and how late they came.
type received struct {
	times []time.Time
	late  time.Duration
	err   error
}

func (c *received) Emit(_ context.Context, r *events.Record) error {
	c.times = append(c.times, r.Time)
	c.late = max(c.late, time.Since(r.Time))
	if time.Now().Before(r.Time) {
		return errors.New("an event came before its time")
	}
	return c.err
}

// TestStream: history comes at once, then events at their times.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Start = time.Now().Add(-time.Hour)
		g := mustNew(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var got received
		if err := g.Stream(ctx, &got); err != nil {
			t.Fatal(err)
		}
		if span := got.times[len(got.times)-1].Sub(got.times[0]); span < 69*time.Minute || span > 70*time.Minute {
			t.Errorf("the events span %s", span)
		}
		if got.late > time.Hour {
			t.Errorf("an event was %s late", got.late)
		}

		failed := errors.New("no")
		got = received{err: failed}
		if err := g.Stream(t.Context(), &got); !errors.Is(err, failed) {
			t.Errorf("got %v", err)
		}
	})
}
