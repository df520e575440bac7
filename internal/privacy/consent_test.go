package privacy

import (
	"context"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Changes of consents stand in the log by the pseudonym, in their order; they go with the person, and are not there for the stranger who comes after.
func TestConsentsInTheLog(t *testing.T) { onBoth(t, testConsentsInTheLog) }

func testConsentsInTheLog(t *testing.T, r *rig) {
	mia := vault.Identity{Tenant: "acme", User: "mia"}
	say := func(state gdpr.ConsentState, caller string) {
		t.Helper()
		_, found, _, err := ChangeConsent(t.Context(), r.Vault, ConsentChange{
			Who: mia, Purpose: "marketing.e-mail", State: state, Caller: caller, Reference: "form of mia",
		})
		if err != nil || !found {
			t.Fatal(found, err)
		}
	}
	holds := func(want gdpr.ConsentState) {
		t.Helper()
		if now, err := CheckConsent(t.Context(), r.Vault, mia, "marketing.e-mail"); err != nil || now.State != want {
			t.Fatalf("%+v, %v; want %s", now, err, want)
		}
	}
	holds("")
	say(gdpr.ConsentGranted, "form 1")
	holds(gdpr.ConsentGranted)
	say(gdpr.ConsentWithdrawn, "")
	say(gdpr.ConsentGranted, "form 1") // again: it changes nothing
	holds(gdpr.ConsentWithdrawn)
	person, _ := r.find("mia")
	list, err := Consents(t.Context(), r.Vault, person.ID)
	if err != nil || len(list) != 1 || len(list[0].History) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	r.start()
	var found []store.Found
	testkit.Eventually(t, soon, func() bool {
		found, err = r.Store.FindEvents(context.Background(), store.Filter{Type: typeConsent, Limit: 100})
		return err == nil && len(found) == 2
	}, "two changes in the log")
	for i, want := range []string{`"action":"grant"`, `"action":"withdraw"`} {
		entry := string(found[i].Entry)
		for _, part := range []string{want, `"purpose":"marketing.e-mail"`, person.ID.String(), list[0].History[i].ID} {
			if !strings.Contains(entry, part) {
				t.Errorf("%s is not in %s", part, entry)
			}
		}
		if testkit.Mentions(entry, "mia", "acme", "form") {
			t.Errorf("it names the person: %s", entry)
		}
	}
	if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
		t.Fatalf("%s: %s", ended.State, ended.Reason)
	}
	if list, err := Consents(t.Context(), r.Vault, person.ID); err != nil || len(list) != 0 {
		t.Errorf("left: %+v, %v", list, err)
	}
	holds("")
	say(gdpr.ConsentGranted, "form 2")
	stranger, _ := r.find("mia")
	if list, err := Consents(t.Context(), r.Vault, stranger.ID); err != nil || stranger.ID == person.ID || len(list) != 1 || len(list[0].History) != 1 {
		t.Errorf("the stranger: %+v, %v", list, err)
	}
	r.wantGood()
}
