package privacy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/verify"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = time.Minute

type rig struct {
	*deployment.Deployment
	t      *testing.T
	worker *Worker
}

func newRig(t *testing.T) *rig {
	t.Helper()
	d := deployment.New(t)
	d.StartIngest()
	d.StartExporter()
	return &rig{Deployment: d, t: t}
}

// start runs a worker.
func (r *rig) start() (stop func()) {
	cfg := DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic = r.Ingest.EventsTopic, r.Ingest.SystemTopic
	r.worker = New(cfg, Deps{Kafka: r.Kafka, Store: r.Store, Vault: r.Vault, Author: r.Author, Log: r.Log})
	return r.Run(r.worker.Run)
}

// produce sends an event of a user that names another person ("": nobody).
func (r *rig) produce(user, other string) {
	r.t.Helper()
	others := ""
	if other != "" {
		others = `"data_subjects":["` + other + `"],`
	}
	event := fmt.Sprintf(`{"schema":"agentaudit.event/v1","event_id":"%s","time":"%s","type":"tool.call","action":"call","outcome":"success","tenant":"acme","user_id":"%s",%s"content":{"input":"hello"}}`,
		uuid.New(), time.Now().UTC().Format(time.RFC3339Nano), user, others)
	if err := r.Kafka.Produce(context.Background(), r.Ingest.EventsTopic, []kafkaio.Message{{Value: []byte(event)}}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) awaitSealed() {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool {
		_, end, err := r.Kafka.Offsets(context.Background(), r.Ingest.EventsTopic, 0)
		if err != nil {
			return false
		}
		head, err := r.Store.Head(context.Background(), chain.LogName(r.Ingest.EventsTopic, 0, 0))
		return err == nil && head.Next >= end
	}, "all events are sealed")
}

func (r *rig) submit(s Submission) vault.Request {
	r.t.Helper()
	request, _, err := Submit(context.Background(), r.Vault, s)
	if err != nil {
		r.t.Fatal(err)
	}
	return request
}

// awaitEnd waits until a request has ended.
func (r *rig) awaitEnd(request vault.Request) vault.Request {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool {
		var err error
		request, _, err = r.Vault.Request(context.Background(), request.ID)
		return err == nil && request.State.Ended()
	}, "the request has ended")
	return request
}

func (r *rig) find(user string) (vault.Subject, bool) {
	r.t.Helper()
	subject, found, err := r.Vault.Find(context.Background(), vault.Identity{Tenant: "acme", User: user})
	if err != nil {
		r.t.Fatal(err)
	}
	return subject, found
}

func erasureOf(user string) Submission {
	return Submission{Kind: gdpr.RequestErasure, Who: vault.Identity{Tenant: "acme", User: user}, VerifiedBy: "test"}
}

func TestErasure(t *testing.T) {
	r := newRig(t)
	for range 10 {
		r.produce("mia", "")
		r.produce("mia", "noah")
		r.produce("noah", "mia")
		r.produce("noah", "")
	}
	r.awaitSealed()
	mia, _ := r.find("mia")
	r.start()

	// The same request five times at once is one.
	var group sync.WaitGroup
	ids := make([][16]byte, 5)
	for i := range ids {
		group.Go(func() {
			s := erasureOf("mia")
			s.Caller = "crm-4711"
			request, _, err := Submit(context.Background(), r.Vault, s)
			if err != nil {
				t.Error(err)
			}
			ids[i] = request.ID
		})
	}
	group.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("one request became several")
		}
	}
	ended := r.awaitEnd(vault.Request{ID: ids[0]})
	var receipt gdpr.Receipt
	if err := json.Unmarshal([]byte(ended.Result), &receipt); ended.State != gdpr.StateCompleted || err != nil {
		t.Fatalf("%s: %s, %v", ended.State, ended.Reason, err)
	}
	author, _, err := r.Vault.Author(t.Context(), receipt.Author)
	if err != nil || !gdpr.VerifyReceipt(author.Key, &receipt) {
		t.Errorf("the receipt's signature: %v", err)
	}
	if receipt.SubjectsDestroyed != 1 || receipt.KeysDestroyed != 1 || receipt.KeyIDs[0] != mia.Keys.ID.String() || receipt.EventsUnreadable == nil ||
		*receipt.EventsUnreadable != 30 || *receipt.EventsOfOthers != 20 {
		t.Errorf("receipt %+v", receipt)
	}
	entry, err := r.Store.EntryAt(t.Context(), receipt.Log, receipt.Seq)
	if err != nil || !strings.Contains(string(entry), `"type":"gdpr.erasure"`) || !strings.Contains(string(entry), receipt.RequestID) {
		t.Errorf("the entry of the receipt: %v", err)
	}
	if _, found := r.find("mia"); found {
		t.Error("still there")
	}
	if _, named, err := r.Vault.RequestIdentity(t.Context(), ended); err != nil || named {
		t.Errorf("the ended request still says of whom it was: %v", err)
	}
	// Nobody's name is in the log.
	found, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeRequest, Limit: 100})
	if err != nil || len(found) != 2 {
		t.Errorf("%d steps of the request in the log, want two: %v", len(found), err)
	}
	for _, f := range found {
		if strings.Contains(string(f.Entry), "mia") || strings.Contains(string(f.Entry), "acme") {
			t.Errorf("it names the person: %s", f.Entry)
		}
	}
	// Whoever comes by that name now is a stranger, and what is stored verifies.
	testkit.Eventually(t, 2*time.Minute, func() bool {
		r.produce("mia", "")
		r.awaitSealed()
		stranger, found := r.find("mia")
		return found && stranger.ID != mia.ID
	}, "a stranger")
	report, err := verify.Run(t.Context(), verify.Deps{Store: r.Store, Vault: r.Vault}, verify.Options{Deep: true})
	if err != nil || !report.OK {
		t.Errorf("verify: %+v, %v", report, err)
	}
}

func TestRefusedErasures(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "noah")
	r.produce("ada", "")
	r.awaitSealed()
	noah, _ := r.find("noah")
	hold := vault.Hold{ID: [16]byte{1}, Subject: noah.ID, Reason: "lawsuit 12", Author: "counsel", At: time.Now()}
	if err := r.Vault.AddHold(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	r.start()
	for _, user := range []string{"noah", "mia"} { // mia's events involve him
		if ended := r.awaitEnd(r.submit(erasureOf(user))); ended.State != gdpr.StateRefused || !strings.Contains(ended.Reason, "lawsuit 12") {
			t.Errorf("%s in spite of a hold: %s, %s", user, ended.State, ended.Reason)
		}
		if _, found := r.find(user); !found {
			t.Errorf("%s is gone", user)
		}
	}
	if ended := r.awaitEnd(r.submit(erasureOf("nobody"))); ended.State != gdpr.StateRefused || ended.Reason != "nobody of that name is known" {
		t.Errorf("an unknown person: %s, %s", ended.State, ended.Reason)
	}
	if _, found := r.find("nobody"); found {
		t.Error("somebody was created by being asked about")
	}
	// Not verified: not carried out, until somebody has.
	s := erasureOf("ada")
	s.VerifiedBy = ""
	unverified := r.submit(s)
	if ended := r.awaitEnd(r.submit(erasureOf("nobody else"))); ended.State != gdpr.StateRefused {
		t.Error(ended.State)
	}
	if now, _, err := r.Vault.Request(t.Context(), unverified.ID); err != nil || now.State != gdpr.StateReceived {
		t.Errorf("an unverified request is %s, %v", now.State, err)
	}
	if done, err := r.Vault.VerifyRequest(t.Context(), unverified.ID, "dpo", time.Now()); err != nil || !done {
		t.Fatal(done, err)
	}
	if ended := r.awaitEnd(unverified); ended.State != gdpr.StateCompleted {
		t.Errorf("verified: %s, %s", ended.State, ended.Reason)
	}
	if lifted, err := r.Vault.LiftHold(t.Context(), hold.ID, time.Now()); err != nil || !lifted {
		t.Fatal(lifted, err)
	}
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Errorf("the hold was lifted: %s, %s", ended.State, ended.Reason)
	}
}
