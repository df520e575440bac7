package notify

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// A second between two messages of a channel, alerts before details, and channels do not wait for each other.
func TestOrderAndRate(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.Channels = map[anomaly.Severity]string{anomaly.Critical: oncall}
		w.slack.Script("chat.postMessage", slacktest.Fault{Status: 429, RetryAfter: "30"})
		w.start()
		var highs []anomaly.Incident
		for range 5 {
			highs = append(highs, incident(anomaly.High))
			w.say(highs[len(highs)-1])
			w.pass(time.Millisecond)
		}
		critical := incident(anomaly.Critical)
		w.say(critical)
		w.pass(5 * time.Second)
		w.stands(alerts, 0)
		w.stands(oncall, 1, critical) // the other channel was told to wait, this one was not
		overtaking := next(highs[3], func(in *anomaly.Incident) { in.Status = anomaly.Final })
		w.say(overtaking)
		highs[3] = overtaking
		w.pass(29*time.Second + 900*time.Millisecond)
		w.stands(alerts, 0, highs...) // alerts before details
		w.pass(time.Minute)
		w.stands(alerts, 5, highs...)
		var last time.Time
		for _, m := range w.all(alerts) {
			if m.Posted.Sub(last) < time.Second {
				t.Errorf("a message %s after the one before", m.Posted.Sub(last))
			}
			last = m.Posted
		}
		if w.posts(resultRateLimited) != 1 {
			t.Errorf("%v were limited", w.posts(resultRateLimited))
		}
	})
}

// Retry-After is waited for to the second.
func TestRetryAfter(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.slack.Script("chat.postMessage", slacktest.Fault{Status: 429, RetryAfter: "17"}, slacktest.Fault{Status: 429, RetryAfter: "40"})
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(10 * time.Minute)
		w.stands(alerts, 1, in)
		var at []time.Time
		for _, c := range w.slack.Calls() {
			if c.Method == "conversations.history" {
				t.Error("what was certainly not posted is looked up")
			}
			at = append(at, c.At)
		}
		for i, wait := range []time.Duration{17 * time.Second, 40 * time.Second} {
			if got := at[i+1].Sub(at[i]); got < wait || got > wait+2*time.Second {
				t.Errorf("asked again after %s, want %s", got, wait)
			}
		}
	})
}

// Ten minutes without Slack, whichever way it is away: everything comes, in order, once and in its latest revision.
func TestOutage(t *testing.T) {
	for name, fault := range map[string]slacktest.Fault{
		"500": {Status: 500}, "503 that is stored": {Status: 503, Store: true}, "hanging and stored": {Hang: true, Store: true},
		"rate limited": {Status: 429, RetryAfter: "5"}, "an error that may have taken effect": {Code: "fatal_error", Store: true}, "archived": {Code: "is_archived"},
		"no connection": {},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.start()
				before := incident(anomaly.High)
				w.say(before)
				w.pass(5 * time.Second)
				if w.stands(alerts, 1, before); fault == (slacktest.Fault{}) {
					w.network.refuse(true)
					w.n.slack.http.CloseIdleConnections()
				} else {
					w.slack.Down(&fault)
				}
				incidents := []anomaly.Incident{before}
				for i := range 8 {
					in := incident(anomaly.Severity(1 + i%4))
					incidents = append(incidents, in)
					w.say(in)
					w.pass(50 * time.Second)
					grown := next(in, func(in *anomaly.Incident) { in.Status = anomaly.Final })
					w.say(grown)
					incidents[len(incidents)-1] = grown
					w.pass(30 * time.Second)
				}
				if _, since, err := w.vault.Waiting(t.Context(), slackTarget(alerts)); err != nil || time.Since(since) < 9*time.Minute {
					t.Errorf("waiting since %s, %v", time.Since(since), err)
				}
				if age := testutil.CollectAndCount(w.n.metrics.waiting); age != 2 {
					t.Errorf("%d gauges", age)
				}
				if w.posts(resultUnavailable)+w.posts(resultRateLimited)+w.posts(resultRefused) < 3 {
					t.Error("the outage is in no metric")
				}
				w.slack.Down(nil)
				w.network.refuse(false)
				w.pass(15 * time.Minute)
				w.stands(alerts, 9, incidents...)
				if n, _, err := w.vault.Waiting(t.Context(), slackTarget(alerts)); err != nil || n != 0 {
					t.Errorf("%d wait, %v", n, err)
				}
			})
		})
	}
}

// What becomes more severe is said where that severity is said, and kept up to date in both places; what becomes less severe is said nowhere else.
func TestRoutes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.Channels = map[anomaly.Severity]string{anomaly.Critical: oncall}
		w.start()
		in := incident(anomaly.Medium)
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(oncall, 0)
		in = next(in, func(in *anomaly.Incident) { in.Severity = anomaly.Critical })
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(alerts, 2, in)
		w.stands(oncall, 1, in)
		in = next(in, func(in *anomaly.Incident) { in.Severity, in.Status = anomaly.High, anomaly.Final })
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(alerts, 3, in)
		w.stands(oncall, 2, in)
		other := incident(anomaly.Critical)
		w.say(other)
		w.pass(5 * time.Second)
		w.stands(oncall, 3, in, other)
		other = next(other, func(in *anomaly.Incident) { in.Severity = anomaly.Low })
		w.say(other)
		w.pass(5 * time.Second)
		w.stands(alerts, 3, in)
		w.stands(oncall, 4, in, other)
	})
}

// A channel that was named wrongly: what it was not told goes to the right one after a restart.
func TestChannelIsCorrected(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.slack.Down(&slacktest.Fault{Code: "channel_not_found"})
		w.cfg.Slack.Channel = "C0WRONG"
		w.start()
		first, second := incident(anomaly.High), incident(anomaly.Low)
		w.say(first)
		w.pass(time.Second)
		w.say(second)
		w.pass(5 * time.Minute)
		calls := len(w.slack.Calls())
		if calls < 3 || calls > 20 {
			t.Errorf("%d requests in five minutes", calls)
		}
		w.stop()
		w.cfg.Slack.Channel = alerts
		w.slack.Down(nil)
		w.start()
		w.pass(time.Minute)
		w.stands(alerts, 2, first, second)
	})
}

// Channels may be given by name; what Slack answers is used from then on.
func TestChannelByName(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.Channel = "#alerts"
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(5 * time.Second)
		in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(in)
		w.pass(5 * time.Second)
		w.stands(alerts, 1, in)
		w.slack.Script("chat.postMessage", slacktest.Fault{Hang: true, Store: true})
		other := incident(anomaly.High)
		w.say(other)
		w.pass(time.Minute)
		w.stands(alerts, 2, in, other)
	})
}
