package api

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// A request over HTTP, from the first word to the receipt.
func TestRequests(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	r.StartExporter()
	r.produce("acme", "mia")
	r.produce("acme", "noah")
	r.awaitSealed()
	r.open()
	r.startWorker()
	const requests = "/v1/gdpr/requests"
	acme := `,"tenant":"acme"`

	// The same request five times at once is one, and is made once.
	id := uuid.NewString()
	form := formOf(id, "erasure", "mia", acme+`,"verified_by":"desk 3"`)
	var group sync.WaitGroup
	replies := make([]reply, 5)
	for i := range replies {
		group.Go(func() { replies[i] = r.ask("analyst", "POST", requests, form) })
	}
	group.Wait()
	made, ids := 0, map[string]bool{}
	for _, got := range replies {
		if got.status == 201 {
			made++
		} else if got.status != 200 {
			t.Fatalf("%d: %s", got.status, got.body)
		}
		body := decode[requestBody](t, got)
		ids[body.RequestID] = true
		// An analyst's word that somebody has verified it is not enough.
		if body.SubjectRequest != id || body.ControllerID != "acme" || body.Status != "pending" || body.State != "received" || body.VerifiedBy != "" || body.Encoded == "" ||
			body.Type != "erasure" || body.APIVersion != "1.0" {
			t.Errorf("got %+v", body)
		}
		received, err := time.Parse(time.RFC3339, body.Received)
		expected, err2 := time.Parse(time.RFC3339, body.Expected)
		if err != nil || err2 != nil || !expected.Equal(received.AddDate(0, 1, 0)) {
			t.Errorf("received %s, expected %s", body.Received, body.Expected)
		}
	}
	if made != 1 || len(ids) != 1 {
		t.Errorf("made %d times, ids %v", made, ids)
	}
	// Nor does a repetition by somebody whose word counts verify the one that is there: it may be another's. And the id is no other person's, nor for anything else.
	if got := decode[requestBody](t, r.want(200, "dpo", "POST", requests, form)); got.State != "received" || got.VerifiedBy != "" {
		t.Errorf("a repetition has verified it: %+v", got)
	}
	r.want(409, "dpo", "POST", requests, formOf(id, "erasure", "noah", acme))
	r.want(409, "dpo", "POST", requests, formOf(id, "access", "mia", acme))
	r.want(409, "dpo", "POST", requests, formOf(id, "erasure", "mia", `,"tenant":"globex"`))
	if _, found := r.find("globex", "mia"); found {
		t.Error("somebody was created by being asked about")
	}

	// Verified, it is carried out; then there is a receipt.
	if got := decode[requestBody](t, r.want(200, "dpo", "POST", requests+"/"+id+"/verify", `{"verified_by":"desk 3"}`)); got.VerifiedBy != "desk 3" {
		t.Errorf("got %+v", got)
	}
	var now requestBody
	testkit.Eventually(t, soon, func() bool {
		now = decode[requestBody](t, r.want(200, "analyst", "GET", requests+"/"+id, ""))
		return now.Status == "completed"
	}, "the request is completed")
	receipt := decode[gdpr.Receipt](t, r.want(200, "auditor", "GET", now.ResultsURL, ""))
	author, _, err := r.Vault.Author(t.Context(), receipt.Author)
	if err != nil || receipt.RequestID != now.RequestID || !gdpr.VerifyReceipt(author.Key, &receipt) {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	if _, found := r.find("acme", "mia"); found {
		t.Error("still there")
	}
	r.want(409, "dpo", "DELETE", requests+"/"+id, "")
	r.want(409, "dpo", "POST", requests+"/"+id+"/verify", `{"verified_by":"x"}`)
	r.want(200, "dpo", "POST", requests, form) // still known, and not begun again

	// Verified at once, by whom it counts; nobody of that name, who is not created; refused is over.
	stranger := decode[requestBody](t, r.want(201, "admin", "POST", requests, formOf(uuid.NewString(), "erasure", "nobody", acme+`,"verified_by":"desk 1"`)))
	if stranger.State != "verified" || stranger.VerifiedBy != "desk 1" {
		t.Errorf("got %+v", stranger)
	}
	testkit.Eventually(t, soon, func() bool {
		now = decode[requestBody](t, r.want(200, "admin", "GET", requests+"/"+stranger.RequestID, ""))
		return now.State == "refused"
	}, "it is refused")
	if now.Status != "cancelled" || now.Reason == "" {
		t.Errorf("got %+v", now)
	}
	if _, found := r.find("acme", "nobody"); found {
		t.Error("somebody was created by being asked about")
	}

	// Cancelled, once or twice.
	other := uuid.NewString()
	r.want(201, "dpo", "POST", requests, formOf(other, "erasure", "noah", acme))
	for range 2 {
		if got := decode[requestBody](t, r.want(202, "dpo", "DELETE", requests+"/"+other, "")); got.Status != "cancelled" {
			t.Errorf("got %+v", got)
		}
	}
	if _, found := r.find("acme", "noah"); !found {
		t.Error("a cancelled erasure was carried out")
	}
	// The month counts from when the person asked.
	asked := time.Now().UTC().Add(-10 * 24 * time.Hour).Truncate(time.Second)
	late := `{"subject_request_id":"` + uuid.NewString() + `","subject_request_type":"access","submitted_time":"` + asked.Format(time.RFC3339) +
		`","subject_identities":[{"identity_type":"email","identity_value":"noah","identity_format":"raw"}],"tenant":"acme"}`
	if got := decode[requestBody](t, r.want(201, "dpo", "POST", requests, late)); got.Received != asked.Format(time.RFC3339) || got.Expected != asked.AddDate(0, 1, 0).Format(time.RFC3339) {
		t.Errorf("got %+v", got)
	}
	// What is said of all this in the log names nobody's key but that of who asked.
	analyst := r.idOf(r.keys["analyst"])
	testkit.Eventually(t, soon, func() bool { return len(r.said("audit.change", analyst)) == 5 }, "what the analyst asked stands in the log")
}
