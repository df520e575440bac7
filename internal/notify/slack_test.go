package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func TestTokenIsInNoError(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var out strings.Builder
		w.deps.Log = jsonLog(&out)
		w.cfg.Slack.Token = "xoxb-secret-token"
		w.network.refuse(true)
		w.start()
		w.say(incident(anomaly.High))
		w.pass(time.Minute)
		w.network.refuse(false)
		w.slack.Down(&slacktest.Fault{Code: "invalid_auth"})
		w.pass(10 * time.Minute)
		w.stop()
		if strings.Contains(out.String(), "secret-token") || !strings.Contains(out.String(), "invalid_auth") || !strings.Contains(out.String(), `"level":"ERROR"`) {
			t.Error(out.String())
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Error(line)
			}
		}
	})
}
