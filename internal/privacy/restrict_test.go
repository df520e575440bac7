package privacy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// shown is what a reader sees of the calls of tools: whose each is and how much of the content.
func (r *rig) shown(q reveal.Question) []string {
	r.t.Helper()
	q.Type, q.Limit, q.WithContent, q.SessionPolicy = "tool.call", 100, true, "subject"
	found, err := reveal.Find(r.t.Context(), reveal.Deps{Store: r.Store, Vault: r.Vault}, q)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for _, e := range found {
		who := e.User
		if e.Restricted {
			who += "restricted"
		}
		if (e.ContentState == reveal.ContentOpened) != (e.Content != nil) {
			r.t.Errorf("content %s of an event that is %q", e.Content, e.ContentState)
		}
		all = append(all, who+": "+e.ContentState)
	}
	slices.Sort(all)
	return all
}

// While a restriction lasts nobody but the data protection officer sees the name and what is about the person; everything else goes on.
func TestRestriction(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		want := func(name string, q reveal.Question, want ...string) {
			t.Helper()
			if got := r.shown(q); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		restrict := func(user string) vault.Request {
			t.Helper()
			return r.awaitEnd(r.submit(Submission{Kind: gdpr.RequestRestriction, Who: vault.Identity{Tenant: "acme", User: user}, VerifiedBy: "test"}))
		}
		r.produce("mia", "")
		r.produce("noah", "mia")
		r.produce("noah", "")
		r.awaitSealed()
		mia, _ := r.find("mia")
		r.start()
		if ended := restrict("nobody"); ended.State != gdpr.StateRefused {
			t.Errorf("nobody is restricted: %s", ended.State)
		}
		want("before", reveal.Question{}, "mia: opened", "noah: opened", "noah: opened")
		for range 2 { // two requests are one restriction
			if ended := restrict("mia"); ended.State != gdpr.StateCompleted {
				t.Fatalf("%s: %s", ended.State, ended.Reason)
			}
		}
		hidden := []string{"noah: opened", "noah: restricted", "restricted: restricted"}
		want("restricted", reveal.Question{}, hidden...)
		want("asked by the name", reveal.Question{Tenant: "acme", User: "mia"}, "restricted: restricted")
		want("asked for no names", reveal.Question{Pseudonyms: true}, ": opened", ": restricted", "restricted: restricted")
		want("to the data protection officer", reveal.Question{Restricted: true}, "mia: opened", "noah: opened", "noah: opened")

		// Sealing goes on, and what comes is hidden as well.
		r.produce("mia", "noah")
		r.awaitSealed()
		want("sealed since", reveal.Question{}, append(hidden, "restricted: restricted")...)
		if now, found := r.find("mia"); !found || now.ID != mia.ID {
			t.Error("another pseudonym")
		}
		// The person of a breach has no name, except for the officer.
		names := func(which Names) string {
			t.Helper()
			var all []string
			err := eachAffected(t.Context(), r.Store, r.Vault, store.Scope{Type: "tool.call"}, which, func(a Affected) error {
				all = append(all, fmt.Sprint(a.Who.User, a.Restricted))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(all)
			return strings.Join(all, " ")
		}
		if some, all := names(UnrestrictedNames), names(AllNames); some != "noahfalse true" || all != "miafalse noahfalse" {
			t.Errorf("the people of a breach: %q, %q", some, all)
		}

		lift := func() bool {
			t.Helper()
			lifted, err := LiftRestriction(t.Context(), r.Vault, vault.Identity{Tenant: "acme", User: "mia"}, "the data were corrected")
			if err != nil {
				t.Fatal(err)
			}
			return lifted
		}
		if !lift() || lift() {
			t.Error("not lifted, or twice")
		}
		want("lifted", reveal.Question{}, "mia: opened", "mia: opened", "noah: opened", "noah: opened")
		if ended := restrict("mia"); ended.State != gdpr.StateCompleted {
			t.Fatalf("%s: %s", ended.State, ended.Reason)
		}
		// An erasure takes the mark with it.
		if ended := r.awaitEnd(r.submit(erasureOf("mia"))); ended.State != gdpr.StateCompleted {
			t.Fatalf("%s: %s", ended.State, ended.Reason)
		}
		want("erased", reveal.Question{}, ": destroyed", ": destroyed", "noah: destroyed", "noah: opened")

		var said []store.Found
		testkit.Eventually(t, soon, func() bool {
			var err error
			said, err = r.Store.FindEvents(t.Context(), store.Filter{Type: typeRestriction, Limit: 100})
			return err == nil && len(said) == 4
		}, "restricted by two requests, lifted and restricted again, in the log")
		for i, action := range []string{"restrict", "restrict", "lift", "restrict"} {
			entry := string(said[i].Entry)
			if !strings.Contains(entry, `"action":"`+action+`"`) || !strings.Contains(entry, mia.ID.String()) || strings.Contains(entry, "acme") {
				t.Errorf("%d: %s", i, entry)
			}
		}
		r.wantGood()
	})
}
