package privacy

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// A signed record of an erasure that names nobody keeps no process from starting, and none that names somebody is skipped with it.
func TestUnreadableErasureIsSkipped(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	mia, _ := r.find("mia")
	w := r.newWorker()
	if err := w.register(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, attributes := range []map[string]string{
		{"subject": "mia", "request": gdpr.SubjectID{1}.String()},
		{"request": gdpr.SubjectID{1}.String()},
		{"subject": gdpr.SubjectID{}.String(), "request": gdpr.SubjectID{1}.String()},
		{"subject": mia.ID.String(), "request": "none"}, // whom it is about can be read
	} {
		record := remark{Type: typeErasure, Action: "erase", Outcome: events.Success, Attributes: attributes}.record(stepID([16]byte{byte(n)}, "unreadable"), time.Now())
		if _, err := w.speaker.Say(t.Context(), record); err != nil {
			t.Fatal(err)
		}
	}
	registry := prometheus.NewRegistry()
	if err := w.Register(registry); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Replay(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := testutil.ToFloat64(w.unreadable); n != 3 {
			t.Errorf("%v are shown", n)
		}
	}
	if _, found := r.find("mia"); found {
		t.Error("she was not erased")
	}
	if _, found := r.find("noah"); !found {
		t.Error("he was erased")
	}
}
