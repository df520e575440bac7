package notify

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/time/rate"
)

// gate lets requests to one receiver through, no more often than it takes them. Safe for concurrent use.
type gate struct {
	limiter *rate.Limiter // nil: as often as wanted
	every   time.Duration

	mu    sync.Mutex
	until time.Time // nothing goes before
}

// slackEvery is what Slack takes for a channel (docs.slack.dev, "Rate limits": about one message a second).
const slackEvery = time.Second

func newGate(every time.Duration) *gate {
	g := &gate{every: every}
	if every > 0 {
		g.limiter = rate.NewLimiter(rate.Every(every), 1)
	}
	return g
}

// rest parts the next request from the answer to the last, as one may have been on its way for longer than the next will be.
func (g *gate) rest() {
	if g.every > 0 {
		g.block(g.every)
	}
}

// block lets nothing through for a while, or for longer if that was said before.
func (g *gate) block(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(g.until) {
		g.until = until
	}
}

func (g *gate) blocked() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.until)
}

// wait returns when a request may go, or an error when ctx ends.
func (g *gate) wait(ctx context.Context) error {
	for {
		if d := g.blocked(); d > 0 {
			pause(ctx, nil, d)
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if g.limiter != nil {
			if err := g.limiter.Wait(ctx); err != nil {
				return err
			}
		}
		if g.blocked() <= 0 { // nobody was told to wait meanwhile
			return ctx.Err()
		}
	}
}

// pause returns after d, when something was sent to wake, or when ctx ends.
func pause(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// newBackoff waits a second at first and a minute at last, each time by a random half more or less.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = time.Second, time.Minute, 2, 0.5
	return b
}
