package store

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func TestAlerts(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "audit.system/0")
	insert(t, openWriter(t, s, l.head.Log), fill(t, NewBlock(), l.open(202611)))
	var rows []*sealed
	incident := func(id byte, revision uint32, severity anomaly.Severity, status anomaly.Status) anomaly.Incident {
		at := testStart.Add(time.Duration(id) * time.Minute)
		return anomaly.Incident{
			ID: uuid.UUID{id}, Revision: revision, Time: at, First: at.Add(-time.Second), Last: at.Add(time.Duration(revision) * time.Second), Tenant: "acme",
			Kind: anomaly.EntitySubject, Subject: uuid.UUID{7, id}, Severity: severity, Title: `spends "much"`, Status: status,
			Signals: []anomaly.Signal{{Name: "rate.cost", Expected: "at most 1 USD an hour", Observed: "12,000 USD an hour", Score: 8.5, Since: at}},
			Events:  []uuid.UUID{{1, id}, {2, id}}, EventCount: 40 + uint64(revision), CostUSD: 1.25,
		}
	}
	say := func(in anomaly.Incident) {
		record, err := alert.Record(&in, "detector", testStart)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, l.system(&record))
	}
	order := func(o alert.Order) {
		record, err := o.Record("exporter")
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, l.system(&record))
	}
	one, two := incident(1, 2, anomaly.Critical, anomaly.Final), incident(2, 1, anomaly.Low, anomaly.Provisional)
	two.Tenant, two.Kind, two.Subject, two.Entity, two.Summarised = "globex", anomaly.EntityAgent, uuid.Nil, "bot's", true
	say(incident(1, 1, anomaly.High, anomaly.Provisional))
	say(two)
	say(one)
	order(alert.Order{Verb: alert.Acknowledge, At: testStart, By: "ab12", Incident: one.ID})
	order(alert.Order{Verb: alert.Snooze, At: testStart.Add(time.Second), By: "cd34", Incident: one.ID, Until: testStart.Add(time.Hour)})
	order(alert.Order{Verb: alert.Suppress, At: testStart, By: "ab12", Tenant: "acme", Kind: anomaly.EntityTenant, Until: testStart.Add(time.Hour)})
	insert(t, openWriter(t, s, l.head.Log), fill(t, NewBlock(), rows...))

	want := func(in *anomaly.Incident, seq uint64) Alert {
		signals, err := json.Marshal(in.Signals)
		if err != nil {
			t.Fatal(err)
		}
		a := Alert{
			ID: in.ID, Revision: in.Revision, Time: in.Time, First: in.First, Last: in.Last, Tenant: in.Tenant, Kind: string(in.Kind), Entity: in.Entity,
			Severity: in.Severity.String(), Title: in.Title, Status: string(in.Status), Subject: in.Subject, Signals: signals, EventCount: in.EventCount,
			CostUSD: in.CostUSD, Summarised: in.Summarised, Log: l.head.Log, Seq: seq,
		}
		for _, id := range in.Events {
			a.Entries = append(a.Entries, id)
		}
		return a
	}
	first, second := want(&one, 3), want(&two, 2)
	first.Answer, first.AnswerBy, first.AnswerUntil = string(alert.Snooze), "cd34", testStart.Add(time.Hour)
	second.AnswerUntil = time.Unix(0, 0).UTC()
	f := func(filter AlertFilter, want ...Alert) {
		t.Helper()
		if filter.Limit == 0 {
			filter.Limit = 10
		}
		got, err := s.Alerts(context.Background(), filter)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%+v: %d alerts, %v; want %d", filter, len(got), err, len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%+v:\ngot  %+v\nwant %+v", filter, got[i], want[i])
			}
		}
	}
	f(AlertFilter{}, second, first)
	f(AlertFilter{Limit: 1}, second)
	f(AlertFilter{ID: one.ID}, first)
	f(AlertFilter{Tenant: "globex"}, second)
	f(AlertFilter{Subject: one.Subject}, first)
	f(AlertFilter{Since: two.Time}, second)
	f(AlertFilter{Until: two.Time}, first)
	f(AlertFilter{Tenant: "nobody"})
	for _, limit := range []int{0, -1, MaxAlerts + 1} {
		if _, err := s.Alerts(context.Background(), AlertFilter{Limit: limit}); err == nil {
			t.Errorf("a limit of %d is accepted", limit)
		}
	}
}
