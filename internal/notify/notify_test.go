package notify

import (
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Nothing at all goes to Slack when nothing happens.
func TestSilence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		w.pass(24 * time.Hour)
		if calls := w.slack.Calls(); len(calls) > 0 {
			t.Errorf("%v", calls)
		}
	})
}

// State that nobody needs any more goes.
func TestSweep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.cfg.Retention = 6 * time.Hour
		w.start()
		in := incident(anomaly.High)
		w.say(in)
		w.pass(w.cfg.Retention - time.Hour)
		if _, ok, err := w.vault.Notice(t.Context(), in.ID); err != nil || !ok {
			t.Fatal(ok, err)
		}
		w.pass(3 * time.Hour)
		if _, ok, err := w.vault.Notice(t.Context(), in.ID); err != nil || ok {
			t.Error("still there", err)
		}
	})
}
