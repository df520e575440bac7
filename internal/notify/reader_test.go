package notify

import (
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// TestFirstStartTellsNothingOld: whoever turns alerts on is told of the last day. What was said of long ago is kept, and told once it is news again; and a group
// that was here before is told of everything.
func TestFirstStartTellsNothingOld(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		r := &reader{notifier: w.n, log: discard(), fresh: true, began: time.Now()}
		take := func(in anomaly.Incident, age time.Duration) {
			t.Helper()
			text, err := anomaly.MarshalIncident(&in)
			if err != nil {
				t.Fatal(err)
			}
			if result, err := r.take(t.Context(), &kafkaio.Record{Value: text, TimeMillis: r.began.Add(-age).UnixMilli()}); err != nil || result != recordAccepted {
				t.Errorf("%s, %v", result, err)
			}
			w.pass(5 * time.Second)
		}
		old, new, later := incident(anomaly.High), incident(anomaly.High), incident(anomaly.High)
		take(old, oldAfter+time.Hour)
		w.stands(alerts, 0)
		take(new, oldAfter-time.Hour)
		if m := w.top(alerts); len(m) != 1 || m[0].Metadata.EventPayload[idKey] != new.ID.String() {
			t.Errorf("%d messages", len(m))
		}
		old = next(old, func(in *anomaly.Incident) { in.Severity = anomaly.Critical })
		take(old, 0)
		if m := w.top(alerts); len(m) != 2 || m[1].Metadata.EventPayload[idKey] != old.ID.String() {
			t.Errorf("%d messages", len(m))
		}
		r.fresh = false
		take(later, oldAfter+time.Hour)
		if m := w.top(alerts); len(m) != 3 {
			t.Errorf("%d messages", len(m))
		}
	})
}
