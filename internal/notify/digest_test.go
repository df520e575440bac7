package notify

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// What is beyond the day's budget stands in the digest only.
func TestSummarisedAndDigest(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Slack.DigestAt = 8 * time.Hour
		w.deps.Checkpoints = func(context.Context) ([]Checkpoint, error) {
			return []Checkpoint{{Log: "agent.events/0", Size: 7, Root: "cm9vdA==", At: time.Now()}}, nil
		}
		w.start() // the bubble's clock begins at midnight, 2000-01-01
		w.pass(12 * time.Hour)
		w.stands(alerts, 0) // there was no day before
		sent, counted, withdrawn := incident(anomaly.High), incident(anomaly.Medium), incident(anomaly.Low)
		counted.Summarised, withdrawn.Status, withdrawn.Summarised = true, anomaly.Withdrawn, true
		for _, in := range []anomaly.Incident{sent, counted, withdrawn} {
			w.say(in)
		}
		w.pass(time.Minute)
		w.stands(alerts, 1, sent)
		w.slack.Script("chat.postMessage", slacktest.Fault{Hang: true, Store: true})
		w.pass(20*time.Hour + time.Minute)
		m := w.top(alerts)
		if len(m) != 2 || m[1].Metadata.EventType != digestEvent {
			t.Fatalf("%+v", m)
		}
		for _, want := range []string{"2000-01-01", "`acme`: 0 critical, 1 high, 1 medium, 0 low; 1 of them beyond", "1 withdrawn", "agent.events/0  size 7"} {
			if !strings.Contains(m[1].Text+string(m[1].Blocks), want) {
				t.Errorf("it does not say %q: %s", want, m[1].Blocks)
			}
		}
		// A restart makes no second one; two days away make two.
		w.stop()
		w.start()
		w.pass(time.Hour)
		if len(w.top(alerts)) != 2 {
			t.Errorf("%d messages after a restart", len(w.top(alerts)))
		}
		w.stop()
		w.pass(48 * time.Hour)
		w.start()
		w.pass(time.Minute)
		if m = w.top(alerts); len(m) != 4 || !strings.Contains(m[2].Text+m[3].Text, "2000-01-02") || !strings.Contains(m[2].Text+m[3].Text, "2000-01-03") {
			t.Errorf("%d messages after two days", len(m))
		}
		// The one that was counted becomes worth a message.
		counted = next(counted, func(in *anomaly.Incident) { in.Summarised, in.Severity = false, anomaly.Critical })
		w.say(counted)
		w.pass(time.Minute)
		if m = w.top(alerts); len(m) != 5 {
			t.Errorf("%d messages", len(m))
		}
	})
}
