package privacy

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func erasureOf(user string) Submission {
	return Submission{Kind: gdpr.RequestErasure, Who: vault.Identity{Tenant: "acme", User: user}, VerifiedBy: "test"}
}

func TestErasure(t *testing.T) { onBoth(t, erasureTest) }

func erasureTest(t *testing.T, r *rig) {
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
		*receipt.EventsUnreadable != 30 || *receipt.EventsOfOthers != 20 || receipt.Residual.VaultRows != 0 || *receipt.Residual.SealedSince != 0 {
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
	var found []store.Found
	testkit.Eventually(t, soon, func() bool {
		found, err = r.Store.FindEvents(t.Context(), store.Filter{Type: typeRequest, Limit: 100})
		return err == nil && len(found) == 3
	}, "three steps of the request in the log: received, in progress, completed")
	for _, f := range found {
		if testkit.Mentions(string(f.Entry), "mia", "acme") {
			t.Errorf("it names the person: %s", f.Entry)
		}
	}
	// Whoever comes by that name now is a stranger, and what is stored verifies.
	testkit.Eventually(t, soon, func() bool {
		r.produce("mia", "")
		r.awaitSealed()
		stranger, found := r.find("mia")
		return found && stranger.ID != mia.ID
	}, "a stranger")
	r.wantGood()
}

func TestRefusedErasures(t *testing.T) { onBoth(t, refusedErasuresTest) }

func refusedErasuresTest(t *testing.T, r *rig) {
	r.produce("mia", "noah")
	r.produce("ada", "")
	r.awaitSealed()
	noah, _ := r.find("noah")
	hold := vault.Hold{ID: [16]byte{1}, Subject: noah.ID, Reason: "lawsuit 12", Author: "counsel", At: time.Now()}
	if err := AddHold(t.Context(), r.Vault, hold); err != nil {
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
	if done, err := VerifyRequest(t.Context(), r.Vault, &unverified, "dpo"); err != nil || !done {
		t.Fatal(done, err)
	}
	if ended := r.awaitEnd(unverified); ended.State != gdpr.StateCompleted {
		t.Errorf("verified: %s, %s", ended.State, ended.Reason)
	}
	if lifted, err := LiftHold(t.Context(), r.Vault, hold.ID); err != nil || !lifted {
		t.Fatal(lifted, err)
	}
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Errorf("the hold was lifted: %s, %s", ended.State, ended.Reason)
	}
	// What people have done about it stands in the log.
	testkit.Eventually(t, soon, func() bool {
		holds, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeHold, Limit: 100})
		return err == nil && len(holds) == 2
	}, "the hold and its end in the log")
	testkit.Eventually(t, soon, func() bool {
		steps, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeRequest, Limit: 100})
		return err == nil && slices.ContainsFunc(steps, func(f store.Found) bool {
			return strings.Contains(string(f.Entry), `"by":"dpo"`) && strings.Contains(string(f.Entry), `"state":"verified"`)
		})
	}, "who has verified the request in the log")
}

// Where counting takes too long, the receipt comes without, and with them later, signed again.
func TestReceiptIsCompletedLater(t *testing.T) { onBoth(t, receiptIsCompletedLaterTest) }

func receiptIsCompletedLaterTest(t *testing.T, r *rig) {
	r.produce("mia", "")
	r.awaitSealed()
	impatient := r.newWorker()
	impatient.countWithin, impatient.countAgain = 0, time.Hour
	stop := r.Run(impatient.Run)
	s := erasureOf("mia")
	s.Caller = "one"
	ended := r.awaitEnd(r.submit(s))
	stop()
	receipt := func() (receipt gdpr.Receipt) {
		t.Helper()
		now, _, err := r.Vault.Request(t.Context(), ended.ID)
		if err != nil || json.Unmarshal([]byte(now.Result), &receipt) != nil {
			t.Fatalf("the receipt: %v", err)
		}
		author, _, err := r.Vault.Author(t.Context(), receipt.Author)
		if err != nil || !gdpr.VerifyReceipt(author.Key, &receipt) {
			t.Fatalf("the receipt's signature: %v", err)
		}
		return receipt
	}
	if now := receipt(); now.EventsUnreadable != nil || now.Residual.SealedSince != nil || now.Stores[2].Status != gdpr.StorePending {
		t.Fatalf("counted in no time: %+v", now)
	}
	if list, err := r.Vault.UnfinishedResults(t.Context(), time.Now()); err != nil || len(list) != 0 {
		t.Errorf("due at once: %v, %v", list, err)
	}
	if err := r.Vault.DeferResult(t.Context(), ended.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	r.start()
	testkit.Eventually(t, soon, func() bool { return receipt().EventsUnreadable != nil }, "the counts")
	if now := receipt(); *now.EventsUnreadable != 1 || *now.Residual.SealedSince != 0 || now.Stores[2].Status != gdpr.StoreUnreadable {
		t.Errorf("completed: %+v", now)
	}
	if list, err := r.Vault.UnfinishedResults(t.Context(), time.Now().Add(time.Hour)); err != nil || len(list) != 0 {
		t.Errorf("still to be completed: %v, %v", list, err)
	}
}

// What the person has asked besides ends with the erasure: it says, encrypted, of whom it is.
func TestErasureEndsOtherRequests(t *testing.T) { onBoth(t, erasureEndsOtherRequestsTest) }

func erasureEndsOtherRequestsTest(t *testing.T, r *rig) {
	r.produce("mia", "noah")
	r.awaitSealed()
	unverified, noahs := erasureOf("mia"), erasureOf("noah")
	unverified.VerifiedBy, noahs.VerifiedBy = "", ""
	other, another := r.submit(unverified), r.submit(noahs)
	r.start()
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Fatalf("%s: %s", ended.State, ended.Reason)
	}
	now := r.awaitEnd(other)
	if _, named, err := r.Vault.RequestIdentity(t.Context(), now); err != nil || named || now.State != gdpr.StateCancelled {
		t.Errorf("the other request is %s and still says of whom it is: %v", now.State, err)
	}
	if now, _, err := r.Vault.Request(t.Context(), another.ID); err != nil || now.State != gdpr.StateReceived {
		t.Errorf("another person's request is %s: %v", now.State, err)
	}
}

// Who may write to the vault cannot have the exporter sign that somebody was erased; and what it refuses keeps nothing back.
func TestForgedOutboxIsNotSaid(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	mia, _ := r.find("mia")
	forge := func(id byte, record string) {
		t.Helper()
		said := vault.Saying{EventID: [16]byte{id}, At: time.Now().Add(-time.Hour), Record: record}
		hold := vault.Hold{ID: [16]byte{id}, Subject: [16]byte{id}, Reason: "r", Author: "a", At: time.Now()}
		if err := r.Vault.AddHold(t.Context(), hold, said); err != nil {
			t.Fatal(err)
		}
	}
	forge(1, `{"type":"gdpr.erasure","action":"erase","outcome":"success","attributes":{"request":"`+gdpr.SubjectID{9}.String()+`","subject":"`+mia.ID.String()+`"}}`)
	forge(2, `not JSON`)
	hold := vault.Hold{ID: [16]byte{3}, Subject: mia.ID, Reason: "case", Author: "counsel", At: time.Now()}
	if err := AddHold(t.Context(), r.Vault, hold); err != nil {
		t.Fatal(err)
	}
	r.start()
	testkit.Eventually(t, soon, func() bool {
		left, err := r.Vault.Unsaid(context.Background(), time.Now())
		return err == nil && !left
	}, "the outbox is empty")
	if list, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeErasure, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%d forged erasures stand in the log, %v", len(list), err)
	}
	if list, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeHold, Limit: 10}); err != nil || len(list) != 1 {
		t.Errorf("%d holds stand in the log, want one: %v", len(list), err)
	}
}

// A row that somebody has put into ClickHouse under the id of a step does not stand for it: the step is said.
func TestForgedStepDoesNotStandForOne(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.produce("noah", "")
	r.awaitSealed()
	r.start()
	if ended := r.awaitEnd(r.submit(erasureOf("noah"))); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	s := erasureOf("mia")
	s.VerifiedBy = ""
	request := r.submit(s)
	step := uuid.UUID(stepID(request.ID, typeErasure))
	if err := r.Server.Exec(t.Context(), "INSERT INTO "+r.Server.Database+".events SELECT * REPLACE ('0.forged/0' AS log, toUUID('"+step.String()+"') AS event_id, replaceOne(entry, 'success', 'failure') AS entry) FROM "+
		r.Server.Database+".events WHERE type = 'gdpr.erasure'"); err != nil {
		t.Fatal(err)
	}
	if done, err := VerifyRequest(t.Context(), r.Vault, &request, "test"); err != nil || !done {
		t.Fatal(done, err)
	}
	ended := r.awaitEnd(request)
	var receipt gdpr.Receipt
	if err := json.Unmarshal([]byte(ended.Result), &receipt); err != nil || !strings.HasPrefix(receipt.Log, r.Ingest.SystemTopic) {
		t.Errorf("the receipt names %s: %v", receipt.Log, err)
	}
}
