package detector

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// A replay of what is decided is silent; what grows graver afterwards, in minutes that are open, is said at once.
func TestSaidAgainAfterFinal(t *testing.T) {
	at := time.Date(2026, 11, 20, 2, 34, 0, 0, time.UTC)
	in := anomaly.Incident{
		ID: uuid.MustParse("456cf491-df64-804e-a5ff-5f99ee6e886e"), Time: at, First: at, Last: at.Add(time.Minute), Tenant: "acme", Kind: anomaly.EntityTenant,
		Severity: anomaly.Medium, Title: "a test", Signals: []anomaly.Signal{{Name: "rule.test", Since: at}}, EventCount: 3, Status: anomaly.Provisional,
	}
	s := newSaid()
	f := func(status anomaly.Status, severity anomaly.Severity, want bool) {
		t.Helper()
		in.Status, in.Severity = status, severity
		got, err := s.next(&in, at)
		if err != nil || got != want {
			t.Errorf("%s, %s: %v, %v; want %v", status, severity, got, err, want)
		}
		if !got {
			return
		}
		if err := s.heard(&in, at); err != nil {
			t.Fatal(err)
		}
	}
	f(anomaly.Provisional, anomaly.Medium, true)
	f(anomaly.Final, anomaly.Medium, true)
	f(anomaly.Provisional, anomaly.Medium, false)
	f(anomaly.Final, anomaly.Medium, false)
	in.EventCount = 30
	f(anomaly.Provisional, anomaly.Critical, true)
	f(anomaly.Provisional, anomaly.Critical, false)
	f(anomaly.Final, anomaly.Critical, true)
	f(anomaly.Provisional, anomaly.Critical, false)
}
