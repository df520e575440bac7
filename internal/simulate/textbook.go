package simulate

import (
	"math"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Textbook is the detector that is found in textbooks, for comparison: after ten samples of a user, calls a minute above the mean and three standard
// deviations, a request of more than five times the mean tokens, a new network once five are known, more than half of a minute's events failing.
// One alert for each minute of a user, critical for three of them together, high for calls or tokens, medium otherwise.
type Textbook struct {
	users map[[16]byte]*textbookUser
}

type textbookUser struct {
	minute           int64
	calls, errors, n float64
	flags            uint8
	perMinute        running
	tokens           running
	networks         map[uint64]bool
}

type running struct{ n, mean, m2 float64 }

func (r *running) add(x float64) {
	r.n++
	d := x - r.mean
	r.mean += d / r.n
	r.m2 += d * (x - r.mean)
}

func (r *running) std() float64 { return math.Sqrt(r.m2 / max(r.n-1, 1)) }

// TextbookAlert is one alert.
type TextbookAlert struct {
	Tenant   string
	Subject  [16]byte
	Time     int64
	Severity anomaly.Severity
}

const (
	tooManyCalls = 1 << iota
	tooManyTokens
	newAddress
	tooManyErrors
)

// NewTextbook knows nobody.
func NewTextbook() *Textbook { return &Textbook{users: map[[16]byte]*textbookUser{}} }

// Observe returns an alert as soon as an event gives reason for one, at most one a minute of a user and reason.
func (t *Textbook) Observe(o *anomaly.Observation) (alert TextbookAlert, alerted bool) {
	if o.Subject == ([16]byte{}) {
		return alert, false
	}
	u := t.users[o.Subject]
	if u == nil {
		u = &textbookUser{networks: map[uint64]bool{}}
		t.users[o.Subject] = u
	}
	if m := o.Time / minute; m != u.minute {
		if u.n > 0 {
			u.perMinute.add(u.calls)
		}
		u.minute, u.calls, u.errors, u.n, u.flags = m, 0, 0, 0, 0
	}
	before := u.flags
	u.n++
	if o.Type == "llm.call" || o.Type == "tool.call" {
		u.calls++
	}
	if o.Outcome == events.Failure {
		u.errors++
	}
	if u.perMinute.n >= 10 {
		if u.calls > u.perMinute.mean+3*u.perMinute.std() {
			u.flags |= tooManyCalls
		}
		if u.errors > u.n/2 {
			u.flags |= tooManyErrors
		}
	}
	if tokens := float64(o.InputTokens + o.OutputTokens); tokens > 0 {
		if u.tokens.n >= 10 && tokens > 5*u.tokens.mean {
			u.flags |= tooManyTokens
		}
		u.tokens.add(tokens)
	}
	if o.Network != 0 && !u.networks[o.Network] {
		if len(u.networks) >= 5 {
			u.flags |= newAddress
		}
		u.networks[o.Network] = true
	}
	if u.flags == before {
		return alert, false
	}
	alert = TextbookAlert{Tenant: o.Tenant, Subject: o.Subject, Time: o.Time, Severity: anomaly.Medium}
	count := 0
	for f := u.flags; f > 0; f &= f - 1 {
		count++
	}
	switch {
	case count >= 3:
		alert.Severity = anomaly.Critical
	case u.flags&(tooManyCalls|tooManyTokens) != 0:
		alert.Severity = anomaly.High
	}
	// The minute's alert is the first one; that it grows is not another.
	return alert, before == 0
}
