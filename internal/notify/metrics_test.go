package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// From the event to the message.
func TestLatency(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start()
		in := incident(anomaly.High)
		w.pass(700 * time.Millisecond)
		w.say(in)
		w.pass(5 * time.Second)
		in = next(in, func(in *anomaly.Incident) { in.CostUSD++ })
		w.say(in)
		w.pass(5 * time.Second)
		want := strings.NewReader(`
# HELP agentaudit_alert_latency_seconds From the time of the event by which an incident was noticed to the first message of it: in Slack, without Slack at the webhook, without both in the log.
# TYPE agentaudit_alert_latency_seconds histogram
agentaudit_alert_latency_seconds_bucket{le="0.1"} 0
agentaudit_alert_latency_seconds_bucket{le="0.25"} 0
agentaudit_alert_latency_seconds_bucket{le="0.5"} 0
agentaudit_alert_latency_seconds_bucket{le="1"} 1
agentaudit_alert_latency_seconds_bucket{le="2"} 1
agentaudit_alert_latency_seconds_bucket{le="5"} 1
agentaudit_alert_latency_seconds_bucket{le="10"} 1
agentaudit_alert_latency_seconds_bucket{le="30"} 1
agentaudit_alert_latency_seconds_bucket{le="60"} 1
agentaudit_alert_latency_seconds_bucket{le="300"} 1
agentaudit_alert_latency_seconds_bucket{le="900"} 1
agentaudit_alert_latency_seconds_bucket{le="3600"} 1
agentaudit_alert_latency_seconds_bucket{le="21600"} 1
agentaudit_alert_latency_seconds_bucket{le="86400"} 1
agentaudit_alert_latency_seconds_bucket{le="+Inf"} 1
agentaudit_alert_latency_seconds_sum 0.7
agentaudit_alert_latency_seconds_count 1
`)
		if err := testutil.CollectAndCompare(w.n.metrics.latency, want); err != nil {
			t.Error(err)
		}
	})
}
