package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// wire returns a record as Kafka gets it, read back.
func wire(t testing.TB, record *events.Record) *events.Event {
	t.Helper()
	text, err := record.AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	ev := new(events.Event)
	if err := events.NewParser().Parse(text, ev); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if !ev.Reserved() {
		t.Errorf("agents may send the type: %s", text)
	}
	return ev
}

func largest() anomaly.Incident {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	in := anomaly.Incident{
		ID: uuid.New(), Revision: 3, Status: anomaly.Final, Tenant: "acme", Kind: anomaly.EntitySubject, Subject: uuid.New(), Severity: anomaly.High,
		Title: strings.Repeat("<", 300), Time: at, First: at, Last: at.Add(time.Minute), EventCount: 1 << 60, CostUSD: 1.5, Summarised: true,
	}
	for i := range anomaly.MaxSignals {
		in.Signals = append(in.Signals, anomaly.Signal{Name: fmt.Sprintf("rule.r%d", i), Expected: strings.Repeat("\u2028", 300), Observed: strings.Repeat("<", 300), Since: at})
	}
	for range anomaly.MaxEvents {
		in.Events = append(in.Events, uuid.New())
	}
	return in
}

// TestIncidentRecord: the largest incident stands in an entry, without the last parts of its lists.
func TestIncidentRecord(t *testing.T) {
	in := largest()
	record, err := Record(&in, "detector", in.Last)
	if err != nil {
		t.Fatal(err)
	}
	ev := wire(t, &record)
	if got := string(ev.Value(events.FieldType, nil)); got != TypeIncident {
		t.Errorf("type %s", got)
	}
	var signals []anomaly.Signal
	var shown []uuid.UUID
	if err := json.Unmarshal([]byte(record.Attributes["signals"]), &signals); err != nil || len(signals) == 0 || len(signals) == len(in.Signals) || signals[0].Name != "rule.r0" {
		t.Errorf("%d signals, %v", len(signals), err)
	}
	if err := json.Unmarshal([]byte(record.Attributes["entries"]), &shown); err != nil || len(shown) == 0 || shown[0] != in.Events[0] {
		t.Errorf("%d entries, %v", len(shown), err)
	}
	for key, want := range map[string]string{
		"incident": in.ID.String(), "revision": "3", "severity": "high", "kind": "subject", "subject": in.Subject.String(), "event_count": "1152921504606846976",
		"cost_usd": "1.500000", "summarised": "true", "noticed": "2026-03-02T09:00:00Z", "last": "2026-03-02T09:01:00Z",
	} {
		if got := record.Attributes[key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	in.Tenant = ""
	if record, err = Record(&in, "detector", in.Last); err != nil || record.Tenant != author.Tenant {
		t.Errorf("tenant %q, %v", record.Tenant, err)
	}
}

// TestIncidentRecordIDs: what is said twice has one id, and what is something else another one.
func TestIncidentRecordIDs(t *testing.T) {
	in := largest()
	id := func() events.UUID {
		t.Helper()
		record, err := Record(&in, "detector", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return record.EventID
	}
	first := id()
	if id() != first || uuid.UUID(first).Version() != 8 || uuid.UUID(first).Variant() != uuid.RFC4122 {
		t.Errorf("%s, then %s", first, id())
	}
	in.Revision++
	second := id()
	in.ID = uuid.New()
	if second == first || id() == second {
		t.Error("another revision or another incident has the same id")
	}
}

func orders() *rapid.Generator[Order] {
	at := time.Date(2026, 3, 2, 9, 0, 0, 123456000, time.UTC)
	return rapid.Custom(func(t *rapid.T) Order {
		o := Order{At: at, By: rapid.StringMatching(`[ -~]{0,64}`).Draw(t, "by")}
		o.Verb = rapid.SampledFrom([]Verb{Acknowledge, Snooze, FalsePositive, Suppress, Unsuppress}).Draw(t, "verb")
		if o.Verb == Snooze || o.Verb == Suppress {
			o.Until = at.Add(time.Duration(rapid.Int64Range(1, int64(MaxSuppression)).Draw(t, "for")))
		}
		if o.Verb != Suppress && o.Verb != Unsuppress {
			o.Incident = uuid.New()
			return o
		}
		o.Tenant, o.Signal = "acme", rapid.SampledFrom([]string{"", "rate.cost", "novel.*"}).Draw(t, "signal")
		switch o.Kind = rapid.SampledFrom([]anomaly.EntityKind{anomaly.EntitySubject, anomaly.EntityAgent, anomaly.EntityTenant, anomaly.EntityProducer}).Draw(t, "kind"); o.Kind {
		case anomaly.EntitySubject:
			o.Subject = uuid.New()
		case anomaly.EntityAgent, anomaly.EntityProducer:
			o.Entity = rapid.StringMatching(`[^\x00]{1,40}`).Draw(t, "entity")
		}
		return o
	})
}

// TestOrdersComeBack: what is said is what is heard.
func TestOrdersComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := orders().Draw(rt, "order")
		record, err := o.Record("exporter")
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := ParseOrder(wire(t, &record), o.At); err != nil || got != o {
			rt.Errorf("%+v\nwant %+v, %v", got, o, err)
		}
	})
}

// TestOrdersThatAreRefused, when they are said and when they are heard.
func TestOrdersThatAreRefused(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	suppress := Order{Verb: Suppress, At: at, Until: at.Add(time.Hour), Tenant: "acme", Kind: anomaly.EntityAgent, Entity: "bot"}
	snooze := Order{Verb: Snooze, At: at, Until: at.Add(time.Hour), Incident: uuid.New()}
	f := func(reason string, o Order, change func(o *Order)) {
		t.Helper()
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%+v: %v; want %q", o, err, reason)
		}
		if _, err := o.Record("exporter"); err == nil {
			t.Errorf("%+v is said", o)
		}
	}
	f("verb", snooze, func(o *Order) { o.Verb = "" })
	f("verb", snooze, func(o *Order) { o.Verb = "delete" })
	f("incident", snooze, func(o *Order) { o.Incident = uuid.Nil })
	f("end", snooze, func(o *Order) { o.Until = at })
	f("end", snooze, func(o *Order) { o.Until = time.Time{} })
	f("end", snooze, func(o *Order) { o.Until = at.Add(MaxSuppression + 1) })
	f("end", suppress, func(o *Order) { o.Until = at.Add(MaxSuppression + 1) })
	f("64 bytes", snooze, func(o *Order) { o.By = strings.Repeat("x", 65) })
	f("tenant", suppress, func(o *Order) { o.Tenant = "" })
	f("kind", suppress, func(o *Order) { o.Kind = "" })
	f("kind", suppress, func(o *Order) { o.Kind = "everybody" })
	f("agent", suppress, func(o *Order) { o.Entity = "" })
	f("producer", suppress, func(o *Order) { o.Kind, o.Entity = anomaly.EntityProducer, "" })
	f("subject", suppress, func(o *Order) { o.Kind = anomaly.EntitySubject })
}

// TestOrdersByFastClocks: an order for the longest time is heard though Kafka's clock is behind, and ends as if it had been right.
func TestOrdersByFastClocks(t *testing.T) {
	said := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	o := Order{Verb: Suppress, At: said, Until: said.Add(MaxSuppression), Tenant: "acme", Kind: anomaly.EntityTenant}
	record, err := o.Record("exporter")
	if err != nil {
		t.Fatal(err)
	}
	at := said.Add(-clockSlack)
	if got, err := ParseOrder(wire(t, &record), at); err != nil || !got.Until.Equal(at.Add(MaxSuppression)) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := ParseOrder(wire(t, &record), at.Add(-1)); err == nil {
		t.Errorf("%+v", got)
	}
}

// FuzzParseOrder: whatever stands in a record, an order that is heard is one that could be said.
func FuzzParseOrder(f *testing.F) {
	said := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for _, o := range []Order{
		{Verb: Snooze, At: said, Until: said.Add(time.Hour), Incident: uuid.New(), By: "a"},
		{Verb: Suppress, At: said, Until: said.Add(time.Hour), Tenant: "acme", Kind: anomaly.EntityTenant},
	} {
		record, err := o.Record("x")
		if err != nil {
			f.Fatal(err)
		}
		text, err := record.AppendJSON(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(bytes.ReplaceAll(text, []byte("-"), []byte("")))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var ev events.Event
		if events.NewParser().Parse(text, &ev) != nil {
			return
		}
		o, err := ParseOrder(&ev, said)
		if err != nil {
			return
		}
		if _, err := o.Record("x"); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	})
}

// TestStatuses: what answers an incident has a status of its own, which stands in vaults and in what is shown; what is not about one has none.
func TestStatuses(t *testing.T) {
	for verb, want := range map[Verb]string{Acknowledge: "acknowledged", Snooze: "snoozed", FalsePositive: "false_positive", Suppress: "", Unsuppress: "", "": "", "delete": ""} {
		if got := verb.Status(); got != want {
			t.Errorf("%s: %q, want %q", verb, got, want)
		}
	}
}
