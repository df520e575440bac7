package api

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Every endpoint with every role: who may, who may not, and who is nobody. Whatever was answered stands in the log under the key's id.
func TestRoles(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	r.StartExporter()
	event := r.produce("acme", "mia")
	r.produce("globex", "noah")
	r.awaitSealed()
	r.open()
	mia, _ := r.find("acme", "mia")
	acme := ` ,"tenant":"acme"`
	submitted := func(user string) string {
		id := uuid.NewString()
		r.want(201, "dpo", "POST", "/v1/gdpr/requests", formOf(id, "access", user, acme))
		return id
	}
	known := submitted("mia")
	roles := []apikey.Role{"", apikey.Viewer, apikey.Analyst, apikey.Auditor, apikey.DPO, apikey.Admin}
	for _, e := range []struct {
		method, path, body string
		want               [6]int // as roles
	}{
		{"GET", "/v1/events", "", [6]int{401, 200, 200, 200, 200, 200}},
		{"POST", "/v1/events", "{}", [6]int{401, 200, 200, 200, 200, 200}},
		{"GET", "/v1/events?names=false&subject=" + mia.ID.String(), "", [6]int{401, 200, 200, 200, 200, 200}},
		{"GET", "/v1/events?names=true", "", [6]int{401, 403, 403, 403, 200, 200}},
		{"GET", "/v1/events?content=true", "", [6]int{401, 403, 403, 403, 200, 200}},
		{"GET", "/v1/events?user=mia", "", [6]int{401, 403, 403, 403, 200, 200}},
		{"POST", "/v1/events", `{"tenant":"acme","user":"mia","content":true}`, [6]int{401, 403, 403, 403, 200, 200}},
		{"POST", "/v1/events", `{"user":"mia","session":"s-1"}`, [6]int{401, 403, 403, 403, 200, 200}},
		{"POST", "/v1/events", `{"session":"s-1"}`, [6]int{401, 403, 403, 403, 400, 400}},
		{"GET", "/v1/proofs/" + event, "", [6]int{401, 403, 403, 200, 200, 200}},
		{"GET", "/v1/proofs/" + uuid.NewString(), "", [6]int{401, 403, 403, 404, 404, 404}},
		{"POST", "/v1/consents/check", `{"tenant":"acme","user":"mia","purpose":"marketing.e-mail"}`, [6]int{401, 403, 200, 403, 200, 200}},
		{"POST", "/v1/consents/check", `{"user":"mia","purpose":"marketing.e-mail"}`, [6]int{401, 403, 400, 403, 400, 400}},
		{"GET", "/v1/gdpr/discovery", "", [6]int{401, 200, 200, 200, 200, 200}},
		{"GET", "/v1/gdpr/requests", "", [6]int{401, 403, 403, 200, 200, 200}},
		{"GET", "/v1/gdpr/requests/" + known, "", [6]int{401, 403, 200, 200, 200, 200}},
		{"GET", "/v1/gdpr/requests/" + uuid.NewString(), "", [6]int{401, 403, 404, 404, 404, 404}},
		{"GET", "/v1/gdpr/requests/" + known + "/receipt", "", [6]int{401, 403, 403, 404, 404, 404}},
		{"GET", "/v1/gdpr/requests/" + known + "/export", "", [6]int{401, 403, 403, 403, 404, 404}},
		{"POST", "/v1/gdpr/requests", "FORM", [6]int{401, 403, 201, 403, 201, 201}},
		{"POST", "/v1/gdpr/requests/NEW/verify", `{"verified_by":"desk"}`, [6]int{401, 403, 403, 403, 200, 200}},
		{"DELETE", "/v1/gdpr/requests/NEW", "", [6]int{401, 403, 403, 403, 202, 202}},
		{"DELETE", "/v1/gdpr/requests/" + uuid.NewString(), "", [6]int{401, 403, 403, 403, 404, 404}},
		{"PUT", "/v1/events", "", [6]int{405, 405, 405, 405, 405, 405}},
		{"DELETE", "/v1/gdpr/requests", "", [6]int{405, 405, 405, 405, 405, 405}},
		{"GET", "/v1/alerts", "", [6]int{401, 200, 200, 200, 200, 200}},
		{"GET", "/v1/alerts?limit=0", "", [6]int{401, 400, 400, 400, 400, 400}},
		{"GET", "/v1/alerts?since=yesterday", "", [6]int{401, 400, 400, 400, 400, 400}},
		{"GET", "/v1/alerts?user=mia", "", [6]int{401, 400, 400, 400, 400, 400}},
		{"POST", "/v1/alerts", "{}", [6]int{405, 405, 405, 405, 405, 405}},
	} {
		for i, role := range roles {
			path, body := strings.Replace(e.path, "NEW", submitted("somebody"), 1), e.body
			if body == "FORM" {
				body = formOf(uuid.NewString(), "erasure", "somebody", acme)
			}
			got := r.want(e.want[i], string(role), e.method, path, body)
			if got.status == 200 && strings.HasPrefix(path, "/v1/events") && !role.May(apikey.RevealPeople) && strings.Contains(got.body, "mia") {
				t.Errorf("%s %s shows %s a name: %s", e.method, path, role, got.body)
			}
		}
	}
	// It says who was found, to those who may know; and the content.
	for _, role := range []string{"dpo", "admin"} {
		got := decode[eventsAnswer](t, r.want(200, role, "POST", "/v1/events", `{"tenant":"acme","user":"mia","content":true}`))
		if len(got.Events) != 1 || got.Events[0].User != "mia" || !strings.Contains(string(got.Events[0].Content), "a private matter") || got.More {
			t.Errorf("%s: %+v", role, got)
		}
	}
	if got := r.want(200, "viewer", "GET", "/v1/events", ""); strings.Contains(got.body, "mia") || strings.Contains(got.body, "private") || !strings.Contains(got.body, mia.ID.String()) {
		t.Errorf("a viewer: %s", got.body)
	}
	if got := r.want(200, "auditor", "GET", "/v1/proofs/"+event, ""); !strings.HasPrefix(got.body, "c2sp.org/tlog-proof@v1\n") || testkit.Mentions(got.body, "mia") {
		t.Errorf("proof: %s", got.body)
	}
	if got := r.want(401, "", "GET", "/v1/events", ""); got.header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("header %v", got.header)
	}
	if got := r.want(405, "dpo", "PUT", "/v1/events", ""); got.header.Get("Allow") != "GET, POST" {
		t.Errorf("header %v", got.header)
	}
	// Consents, as they are at this moment.
	const agrees = `{"tenant":"acme","user":"mia","purpose":"marketing.e-mail"}`
	for _, want := range []struct {
		change  gdpr.ConsentState
		granted bool
		state   string
	}{{"", false, "none"}, {gdpr.ConsentGranted, true, "granted"}, {gdpr.ConsentWithdrawn, false, "withdrawn"}} {
		if want.change != "" {
			if _, _, _, err := privacy.ChangeConsent(t.Context(), r.Vault, privacy.ConsentChange{
				Who: vault.Identity{Tenant: "acme", User: "mia"}, Purpose: "marketing.e-mail", State: want.change,
			}); err != nil {
				t.Fatal(err)
			}
		}
		if got := decode[consentAnswer](t, r.want(200, "analyst@acme", "POST", "/v1/consents/check", agrees)); got.Granted != want.granted || got.State != want.state {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	r.want(403, "analyst@acme", "POST", "/v1/consents/check", `{"tenant":"globex","user":"noah","purpose":"marketing.e-mail"}`)
	// What was shown and asked stands in the log, without names.
	r.startWorker()
	viewer, dpo := r.idOf(r.keys["viewer"]), r.idOf(r.keys["dpo"])
	testkit.Eventually(t, soon, func() bool { return len(r.said("audit.change", dpo)) > 3 && len(r.said("audit.reveal", dpo)) >= 5 }, "what the dpo did stands in the log")
	for _, entry := range append(r.said("audit.read", dpo), r.said("audit.change", dpo)...) {
		if testkit.Mentions(entry, "mia", "acme") {
			t.Errorf("it names somebody: %s", entry)
		}
	}
	// The viewer was answered five times: four times with events, once with what can be asked. What was refused showed nothing.
	if got := r.said("audit.read", viewer); len(got) != 6 || len(r.said("audit.reveal", viewer)) != 0 || !strings.Contains(got[0], `"role":"viewer"`) ||
		!strings.Contains(got[0], `"what":"events"`) || !strings.Contains(got[0], `"count":"`) {
		t.Errorf("%d reads of the viewer: %v", len(got), got)
	}
	if got := r.said("audit.apikey", viewer); len(got) != 1 || !strings.Contains(got[0], `"action":"add"`) {
		t.Errorf("the key in the log: %v", got)
	}
}

// A key of a tenant sees and changes what is this tenant's.
func TestTenantLimits(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	r.StartExporter()
	ours, theirs := r.produce("acme", "mia"), r.produce("globex", "noah")
	r.awaitSealed()
	r.open()
	const requests = "/v1/gdpr/requests"
	got := decode[eventsAnswer](t, r.want(200, "admin@acme", "GET", "/v1/events", ""))
	if len(got.Events) != 1 || got.Events[0].EventID != ours {
		t.Errorf("got %+v", got)
	}
	if all := decode[eventsAnswer](t, r.want(200, "admin", "GET", "/v1/events?type=tool.call", "")); len(all.Events) != 2 {
		t.Errorf("got %+v", all)
	}
	noah, _ := r.find("globex", "noah")
	if got := decode[eventsAnswer](t, r.want(200, "admin@acme", "GET", "/v1/events?subject="+noah.ID.String(), "")); len(got.Events) != 0 {
		t.Errorf("another tenant's pseudonym: %+v", got)
	}
	if got := decode[eventsAnswer](t, r.want(200, "admin@acme", "POST", "/v1/events", `{"user":"noah"}`)); len(got.Events) != 0 {
		t.Errorf("another tenant's person: %+v", got)
	}
	r.want(403, "admin@acme", "GET", "/v1/events?tenant=globex", "")
	r.want(200, "auditor@acme", "GET", "/v1/proofs/"+ours, "")
	r.want(404, "auditor@acme", "GET", "/v1/proofs/"+theirs, "")

	mine, other := uuid.NewString(), uuid.NewString()
	if got := decode[requestBody](t, r.want(201, "dpo@acme", "POST", requests, formOf(mine, "erasure", "mia", ""))); got.ControllerID != "acme" {
		t.Errorf("got %+v", got)
	}
	other2 := decode[requestBody](t, r.want(201, "dpo", "POST", requests, formOf(other, "erasure", "noah", `,"tenant":"globex"`)))
	r.want(403, "dpo@acme", "POST", requests, formOf(uuid.NewString(), "erasure", "noah", `,"tenant":"globex"`))
	r.want(400, "dpo", "POST", requests, formOf(uuid.NewString(), "erasure", "noah", ""))
	// The id of another tenant's request tells nothing of it, whoever the new one is about.
	for _, user := range []string{"mia", "noah"} {
		if got := r.want(409, "dpo@acme", "POST", requests, formOf(other, "erasure", user, "")); strings.Contains(got.body, "globex") {
			t.Error(got.body)
		}
	}
	for _, id := range []string{other, other2.RequestID} {
		for _, q := range []struct{ method, path, body string }{
			{"GET", "", ""}, {"DELETE", "", ""}, {"POST", "/verify", `{"verified_by":"x"}`}, {"GET", "/receipt", ""}, {"GET", "/export", ""},
		} {
			r.want(404, "admin@acme", q.method, requests+"/"+id+q.path, q.body)
		}
	}
	list := decode[struct{ Requests []requestBody }](t, r.want(200, "auditor@acme", "GET", requests, ""))
	if len(list.Requests) != 1 || list.Requests[0].SubjectRequest != mine {
		t.Errorf("got %+v", list)
	}
	if list := decode[struct{ Requests []requestBody }](t, r.want(200, "auditor", "GET", requests, "")); len(list.Requests) != 2 {
		t.Errorf("got %+v", list)
	}
	if got := decode[requestBody](t, r.want(200, "admin", "GET", requests+"/"+other, "")); got.Status != "pending" || got.State != "received" {
		t.Errorf("another's request was changed: %+v", got)
	}
}
