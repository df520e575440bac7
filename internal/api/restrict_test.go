package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// Where somebody's data is restricted, a data protection officer's key still shows it, nobody else's does, and the log says so.
func TestRestriction(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	r.StartExporter()
	r.produce("acme", "mia")
	r.produce("acme", "noah")
	r.awaitSealed()
	r.open()
	r.startWorker()
	const requests = "/v1/gdpr/requests"
	id := uuid.NewString()
	r.want(201, "admin", "POST", requests, formOf(id, "restriction", "mia", `,"tenant":"acme","verified_by":"desk"`))
	testkit.Eventually(t, soon, func() bool {
		now := decode[requestBody](t, r.want(200, "dpo", "GET", requests+"/"+id, ""))
		return now.Status == "completed"
	}, "the restriction is in force")
	shown := func(key string) map[string]reveal.Event {
		t.Helper()
		byUser := map[string]reveal.Event{}
		for _, e := range decode[eventsAnswer](t, r.want(200, key, "POST", "/v1/events", `{"tenant":"acme","content":true,"type":"tool.call"}`)).Events {
			byUser[e.User] = e
		}
		return byUser
	}
	if got := shown("dpo"); len(got) != 2 || got["mia"].ContentState != reveal.ContentOpened {
		t.Errorf("the officer sees %+v", got)
	}
	if got := shown("admin"); len(got) != 2 || got["noah"].ContentState != reveal.ContentOpened || got[""].ContentState != reveal.ContentRestricted || got[""].Content != nil || !got[""].Restricted {
		t.Errorf("the admin sees %+v", got)
	}
	dpo, admin := r.idOf(r.keys["dpo"]), r.idOf(r.keys["admin"])
	testkit.Eventually(t, soon, func() bool { return len(r.said("audit.reveal", dpo)) == 1 && len(r.said("audit.reveal", admin)) == 1 }, "who saw what stands in the log")
	marked := func(entry string) bool { return strings.Contains(entry, `"restricted":"shown"`) }
	if !slices.ContainsFunc(r.said("audit.reveal", dpo), marked) || slices.ContainsFunc(r.said("audit.reveal", admin), marked) {
		t.Errorf("the log: %v, %v", r.said("audit.reveal", dpo), r.said("audit.reveal", admin))
	}
}
