package vault

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// lease is the right to use what the vault once said. It is measured on the monotonic clock of this process, so neither a clock that is set nor a process
// that was stopped and woken up can lengthen it.
type lease struct {
	length time.Duration
	base   time.Time // carries the monotonic clock
	// until is when the lease ends, in nanoseconds after base.
	until atomic.Int64

	// mu guards renewed, which is closed and replaced when the lease is extended, and lastErr, why it was not.
	mu      sync.Mutex
	renewed chan struct{}
	lastErr error
}

func newLease(length time.Duration) *lease {
	l := &lease{length: length, base: time.Now(), renewed: make(chan struct{})}
	l.until.Store(math.MinInt64)
	return l
}

// now is the time for extend, in nanoseconds after base.
func (l *lease) now() int64 { return int64(time.Since(l.base)) }

func (l *lease) valid() bool { return l.now() < l.until.Load() }

// extend makes the lease valid for its length from a moment on.
func (l *lease) extend(from int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until.Store(from + int64(l.length))
	l.lastErr = nil
	close(l.renewed)
	l.renewed = make(chan struct{})
}

func (l *lease) failed(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastErr = err
}

// end makes the lease invalid at once.
func (l *lease) end() { l.until.Store(math.MinInt64) }

// await returns nil as soon as the lease is valid. When ctx ends it returns the reasons: why ctx ended and why the lease was not extended.
func (l *lease) await(ctx context.Context) error {
	for !l.valid() {
		l.mu.Lock()
		renewed, lastErr := l.renewed, l.lastErr
		l.mu.Unlock()
		if l.valid() {
			break // extended just before the channel was read
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			if lastErr == nil {
				lastErr = fmt.Errorf("%w: no answer yet", ErrUnavailable)
			}
			return fmt.Errorf("wait for the vault's lease: %w; the vault's last answer: %w", ctx.Err(), lastErr)
		}
	}
	return nil
}
