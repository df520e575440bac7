package events

import (
	"log/slog"
	"time"
)

const (
	// clockTolerance is how far the system's clock may drift from the monotonic
	// one before that counts as a jump.
	clockTolerance = time.Minute
	// clockGrace is how long the system's clock must go without a jump before
	// anything is given up by it.
	clockGrace = time.Hour
)

// moment is one reading of both clocks.
type moment struct {
	wall time.Duration // since 1970 by the system's clock, which may be set
	up   time.Duration // since the emitter was made, by the monotonic clock
}

// ageWatch decides which events waited in the spool for too long, so that a
// clock that is set, wrongly or right at last, takes no accepted event with it.
// look and expired are for one goroutine; stamp is for any.
type ageWatch struct {
	start  time.Time
	now    func() moment
	maxAge time.Duration
	log    *slog.Logger

	// The clocks have agreed since steady.
	steady moment
	jumped bool // said once
}

func newAgeWatch(maxAge time.Duration, log *slog.Logger) *ageWatch {
	start := time.Now()
	now := func() moment {
		t := time.Now()
		return moment{wall: time.Duration(t.UnixNano()), up: t.Sub(start)}
	}
	return &ageWatch{start: start, now: now, maxAge: maxAge, log: log, steady: now()}
}

// stamp is t on the steady time line of this process, in milliseconds: it begins
// at the system's time at the start and goes on by the monotonic clock.
func (a *ageWatch) stamp(t time.Time) int64 {
	return a.start.UnixMilli() + t.Sub(a.start).Milliseconds()
}

// look reads the clocks, and begins the grace again if they disagree.
func (a *ageWatch) look() moment {
	now := a.now()
	apart := (now.wall - a.steady.wall) - (now.up - a.steady.up)
	if apart.Abs() <= clockTolerance {
		return now
	}
	a.steady = now
	if !a.jumped {
		a.jumped = true
		a.log.Warn("the system's clock jumped: spooled events of earlier processes are not given up by it until it is steady",
			"jump", apart.Round(time.Second), "steady_for", a.grace())
	}
	return now
}

func (a *ageWatch) grace() time.Duration { return min(clockGrace, a.maxAge) }

// expired says whether a spooled event waited for longer than maxAge.
func (a *ageWatch) expired(r *spoolRecord, now moment) bool {
	if !r.inherited {
		return a.start.UnixMilli()+now.up.Milliseconds()-r.timeMillis > a.maxAge.Milliseconds()
	}
	if now.up > a.maxAge {
		return true // it lay here all that time, whatever the clock says
	}
	return now.up-a.steady.up >= a.grace() && now.wall.Milliseconds()-r.wallMillis > a.maxAge.Milliseconds()
}
