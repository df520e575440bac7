package systemlog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/systemlog"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const soon = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a Speaker with real systems, of which neither ingest nor exporter runs yet.
type rig struct {
	*deployment.Deployment
	t       *testing.T
	speaker *systemlog.Speaker
}

func newRig(t *testing.T) *rig {
	t.Helper()
	d := deployment.New(t)
	if err := d.Author.Register(t.Context(), d.Vault); err != nil {
		t.Fatal(err)
	}
	return &rig{d, t, systemlog.New(systemlog.Deps{Kafka: d.Kafka, Store: d.Store, Vault: d.Vault, Author: d.Author, Topic: d.Ingest.SystemTopic})}
}

// sent is how many records the topic has.
func (r *rig) sent() int64 {
	r.t.Helper()
	_, end, err := r.Kafka.Offsets(r.t.Context(), r.Ingest.SystemTopic, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return end
}

// records are n, which say their number, in the name of somebody else: the Speaker puts its own.
func records(n int) []events.Record {
	now := time.Now()
	list := make([]events.Record, n)
	for i := range list {
		list[i] = events.Record{
			EventID: events.NewUUID(now), Time: now, Type: "audit.change", Action: "change", Outcome: events.Success, Tenant: "acme",
			Agent: events.Agent{ID: "somebody"}, Attributes: map[string]string{"number": fmt.Sprint(i)},
		}
	}
	return list
}

// wantGenuine checks that a record stands at a place, as it was said and signed.
func (r *rig) wantGenuine(at systemlog.Place, record *events.Record) {
	r.t.Helper()
	text, err := r.Store.EntryAt(r.t.Context(), at.Log, at.Seq)
	if err != nil {
		r.t.Fatal(err)
	}
	var entry chain.Entry
	if err := chain.ParseEntry(text, &entry); err != nil {
		r.t.Fatal(err)
	}
	known, found, err := r.Vault.Author(r.t.Context(), r.speaker.Author())
	if err != nil || !found {
		r.t.Fatal(found, err)
	}
	if entry.Author != known.Name || !gdpr.VerifySystem(known.Key, entry.Event, entry.Signature) {
		r.t.Errorf("seq %d of %s bears no genuine signature of %s", at.Seq, at.Log, known.Name)
	}
	if gdpr.VerifySystem(known.Key, append([]byte(" "), entry.Event...), entry.Signature) {
		r.t.Error("the signature is good for something else too")
	}
	said := *record
	said.Tenant, said.Agent.ID = systemlog.Tenant, known.Name
	want, err := said.AppendJSON(nil)
	if err != nil || string(entry.Event) != string(want) {
		r.t.Errorf("there stands %s, %v; want %s", entry.Event, err, want)
	}
}

func (r *rig) awaitSealed(record *events.Record) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool {
		found, err := r.Store.SystemPlaces(r.t.Context(), [][16]byte{[16]byte(record.EventID)})
		return err == nil && len(found) == 1
	}, "the record is sealed")
}

// What is said stands in the log once, in the order in which it was said, under the author's signature; saying it again says nothing.
func TestSayAll(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	all := records(20)
	first, err := r.speaker.SayAll(t.Context(), all[:5])
	if err != nil {
		t.Fatal(err)
	}
	places, err := r.speaker.SayAll(t.Context(), all) // of which five stand there
	if err != nil || len(places) != len(all) {
		t.Fatal(len(places), err)
	}
	for i := range all {
		r.wantGenuine(places[i], &all[i])
		if i < len(first) && places[i] != first[i] {
			t.Errorf("record %d stood at %v and stands at %v", i, first[i], places[i])
		}
		if i > 0 && (places[i].Log != places[0].Log || places[i].Seq <= places[i-1].Seq) {
			t.Errorf("record %d stands at %v, the one before at %v", i, places[i], places[i-1])
		}
	}
	again, err := r.speaker.Say(t.Context(), all[7])
	if err != nil || again != places[7] {
		t.Errorf("said again it stands at %v, %v; want %v", again, err, places[7])
	}
	if n := r.sent(); n != int64(len(all)) {
		t.Errorf("%d records were sent, want %d", n, len(all))
	}
}

// What somebody who may write to ClickHouse has put there does not stand for what the author says.
func TestForgedRecordDoesNotStandForOne(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	both := records(2)
	if _, err := r.speaker.Say(t.Context(), both[0]); err != nil {
		t.Fatal(err)
	}
	// The log's name comes before every other, so that it is looked at first.
	if err := r.Server.Exec(t.Context(), "INSERT INTO "+r.Server.Database+".events SELECT * REPLACE ('0.forged/0' AS log, toUUID('"+both[1].EventID.String()+"') AS event_id, "+
		"replaceOne(entry, 'success', 'failure') AS entry) FROM "+r.Server.Database+".events WHERE type = 'audit.change'"); err != nil {
		t.Fatal(err)
	}
	r.awaitSealed(&both[1])
	place, err := r.speaker.Say(t.Context(), both[1])
	if err != nil {
		t.Fatal(err)
	}
	r.wantGenuine(place, &both[1])
}

// Nobody seals: the wait ends with the caller's patience, and the record was sent once. When somebody does, saying it again finds it.
func TestWaitIsBounded(t *testing.T) {
	r := newRig(t)
	record := records(1)[0]
	impatient := errors.New("the caller has waited enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second/2, impatient)
	defer cancel()
	if place, err := r.speaker.Say(ctx, record); !errors.Is(err, impatient) && !errors.Is(err, context.DeadlineExceeded) || place != (systemlog.Place{}) {
		t.Errorf("%v, %v", place, err)
	}
	if n := r.sent(); n != 1 {
		t.Errorf("%d records were sent", n)
	}
	r.StartIngest()
	r.awaitSealed(&record)
	place, err := r.speaker.Say(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	r.wantGenuine(place, &record)
	if n := r.sent(); n != 1 {
		t.Errorf("%d records were sent after it was said again", n)
	}
}

// SayCovered returns when a signed checkpoint covers what was said, and no earlier.
func TestSayCovered(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	record := records(1)[0]
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	type answer struct {
		place systemlog.Place
		err   error
	}
	said := make(chan answer, 1)
	go func() { // ends with ctx
		place, err := r.speaker.SayCovered(ctx, record)
		said <- answer{place, err}
	}()
	r.awaitSealed(&record)
	select {
	case a := <-said:
		t.Fatalf("nothing was signed, and it returns %v, %v", a.place, a.err)
	default:
	}
	r.StartExporter()
	a := <-said
	if a.err != nil {
		t.Fatal(a.err)
	}
	place := a.place
	point, found, err := r.Vault.Checkpoint(t.Context(), place.Log)
	if err != nil || !found || point.Size <= place.Seq {
		t.Errorf("the checkpoint has %d entries (%v, %v), the record is at %d", point.Size, found, err, place.Seq)
	}
}

// What is no record is not sent, and nothing that was to be said with it.
func TestUnsayable(t *testing.T) {
	r := newRig(t)
	all := records(3)
	all[1].Attributes = map[string]string{"long": strings.Repeat("x", 1<<20)}
	if _, err := r.speaker.SayAll(t.Context(), all); err == nil || !strings.Contains(err.Error(), "audit.change") || len(err.Error()) > 1000 {
		t.Errorf("%.1000v", err)
	}
	if n := r.sent(); n != 0 {
		t.Errorf("%d records were sent", n)
	}
}
