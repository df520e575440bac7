package detector

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
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

// What only grows is said every ten seconds at most, in its latest form, and what was said a moment ago is forgotten with the person.
func TestGrowingIncidentWaits(t *testing.T) {
	at := time.Date(2026, 11, 20, 2, 34, 0, 0, time.UTC)
	in := anomaly.Incident{
		ID: uuid.MustParse("456cf491-df64-804e-a5ff-5f99ee6e886e"), Time: at, First: at, Last: at.Add(time.Minute), Tenant: "acme", Kind: anomaly.EntitySubject,
		Subject: uuid.UUID{1}, Severity: anomaly.Medium, Title: "a test", Signals: []anomaly.Signal{{Name: "rule.test", Since: at}}, EventCount: 3, Status: anomaly.Provisional,
	}
	s := newSaid()
	f := func(events uint64, now time.Time, want bool) {
		t.Helper()
		in.EventCount = events
		got, err := s.next(&in, now)
		if err != nil || got != want {
			t.Errorf("%d events: %v, %v; want %v", events, got, err, want)
		}
		if got {
			if err := s.heard(&in, now); err != nil {
				t.Fatal(err)
			}
		}
	}
	f(3, at, true)
	f(30, at.Add(time.Second), false)
	f(60, at.Add(2*time.Second), false)
	if due := s.due(at.Add(updateEvery - 1)); len(due) != 0 {
		t.Errorf("%d are due early", len(due))
	}
	due := s.due(at.Add(updateEvery))
	if len(due) != 1 || due[0].EventCount != 60 {
		t.Fatalf("%+v", due)
	}
	f(60, at.Add(updateEvery), true)
	f(90, at.Add(updateEvery+1), false)
	in.Severity = anomaly.High
	f(90, at.Add(updateEvery+2), true) // graver: at once
	if len(s.waiting) != 0 {
		t.Errorf("%d wait", len(s.waiting))
	}
	f(99, at.Add(updateEvery+3), false)
	s.forget(in.Subject)
	if due := s.due(at.Add(time.Hour)); len(due) != 0 || len(s.known) != 0 {
		t.Errorf("%d are due, %d known", len(due), len(s.known))
	}
	// Long after its last event no replay reaches it.
	f(100, at, true)
	late := in
	late.ID, late.Last = uuid.UUID{2}, at.Add(rememberedFor+2*time.Minute)
	if err := s.heard(&late, at); err != nil {
		t.Fatal(err)
	}
	if s.trim(); len(s.known) != 1 || s.known[late.ID] == nil {
		t.Errorf("%d known", len(s.known))
	}
}

// An order counts once, and an incident is called a false positive once, however often that stands on the topic.
func TestOrdersCountOnce(t *testing.T) {
	s := newSaid()
	in := anomaly.Incident{ID: uuid.New(), Revision: 1, Tenant: "acme", Kind: anomaly.EntityTenant, Severity: anomaly.Medium, Status: anomaly.Final, Signals: []anomaly.Signal{{Name: "rule.test"}}}
	if err := s.heard(&in, time.Time{}); err != nil {
		t.Fatal(err)
	}
	order := alert.Order{Verb: alert.FalsePositive, Incident: in.ID}
	if d, ok := s.directive(&order); !ok || d.Kind != anomaly.FalsePositive {
		t.Errorf("%+v, %v", d, ok)
	}
	in.Revision++
	if err := s.heard(&in, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.directive(&order); ok {
		t.Error("it counts twice")
	}
	id := [16]byte(uuid.New())
	if !s.first(id) || s.first(id) || !s.first(uuid.New()) {
		t.Error("an order is not known again, or another one is")
	}
}
