package cli

import (
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestWhatARequestWaitsFor(t *testing.T) {
	f := func(state gdpr.RequestState, says string) {
		t.Helper()
		var out strings.Builder
		if err := sayWait(&out, vault.Request{State: state}); err != nil || !strings.Contains(out.String(), says) || (says == "") != (out.Len() == 0) {
			t.Errorf("%s: %q, %v; want %q", state, out.String(), err, says)
		}
	}
	f(gdpr.StateReceived, "'gdpr verify 00000000-0000-0000-0000-000000000000 --by NAME'")
	f(gdpr.StateVerified, "waiting for an exporter")
	f(gdpr.StateInProgress, "waiting for an exporter")
	f(gdpr.StateCompleted, "")
	f(gdpr.StateRefused, "")
}
