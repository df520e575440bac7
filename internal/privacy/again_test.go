package privacy

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// An old backup of the vault has lost who was restricted since, and who has withdrawn a consent. The log says it, and nothing is shown before they agree; a forged
// entry changes nothing, and what is over in the vault does not begin again.
func TestRestoredVaultRestrictsAgain(t *testing.T) {
	r := newRig(t)
	who := func(user string) vault.Identity { return vault.Identity{Tenant: "acme", User: user} }
	for _, user := range []string{"mia", "noah", "ada"} {
		r.produce(user, "")
	}
	r.awaitSealed()
	r.start()
	restrict := func(user string) {
		t.Helper()
		if ended := r.awaitEnd(r.submit(Submission{Kind: gdpr.RequestRestriction, Who: who(user), VerifiedBy: "test"})); ended.State != gdpr.StateCompleted {
			t.Fatal(ended.State, ended.Reason)
		}
	}
	lift := func(user string) {
		t.Helper()
		if lifted, err := LiftRestriction(t.Context(), r.Vault, who(user), "it is over"); err != nil || !lifted {
			t.Fatal(lifted, err)
		}
	}
	says := func(user, purpose string, state gdpr.ConsentState) {
		t.Helper()
		if _, _, _, err := ChangeConsent(t.Context(), r.Vault, ConsentChange{Who: who(user), Purpose: purpose, State: state, Reference: "form 1"}); err != nil {
			t.Fatal(err)
		}
	}
	says("mia", "ads", gdpr.ConsentGranted)
	backup := filepath.Join(t.TempDir(), "backup.db")
	db, err := sql.Open("sqlite", r.VaultAt.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", backup); err != nil {
		t.Fatal(err)
	}
	restrict("mia")
	restrict("noah")
	lift("noah")
	says("mia", "ads", gdpr.ConsentWithdrawn)
	says("mia", "news", gdpr.ConsentWithdrawn)
	says("mia", "news", gdpr.ConsentGranted)
	for range 4 {
		says("stranger", "ads", gdpr.ConsentGranted) // whom the backup does not know
	}
	for typ, n := range map[string]int{typeRestriction: 3, typeConsent: 8} {
		testkit.Eventually(t, soon, func() bool {
			found, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typ, Limit: 100})
			return err == nil && len(found) == n
		}, fmt.Sprintf("%d entries of type %s", n, typ))
	}
	mia, _ := r.find("mia")
	noah, _ := r.find("noah")
	ada, _ := r.find("ada")
	// Somebody who has ClickHouse says that ada is restricted too.
	if err := r.Server.Exec(t.Context(), "INSERT INTO "+r.Server.Database+".events SELECT * REPLACE (replaceOne(entry, '"+mia.ID.String()+"', '"+ada.ID.String()+
		"') AS entry, seq + 1000 AS seq) FROM "+r.Server.Database+".events WHERE type = 'gdpr.restriction' AND position(entry, '"+mia.ID.String()+"') > 0"); err != nil {
		t.Fatal(err)
	}

	check := func(name string, v *vault.Vault) {
		t.Helper()
		deps := r.worker.deps
		deps.Vault = v
		guard := New(r.worker.cfg, deps)
		guard.consentPage = 2
		for range 2 { // the second time there is nothing to do
			if err := guard.AwaitReplay(t.Context()); err != nil {
				t.Fatal(err)
			}
			marked, err := v.Restricted(t.Context(), []gdpr.SubjectID{mia.ID, noah.ID, ada.ID})
			if err != nil || len(marked) != 1 || !marked[mia.ID] {
				t.Errorf("%s: restricted are %v, %v", name, marked, err)
			}
			for purpose, want := range map[string]vault.ConsentState{"ads": {State: gdpr.ConsentWithdrawn, Changes: 2}, "news": {State: gdpr.ConsentGranted, Changes: 2}} {
				got, err := CheckConsent(t.Context(), v, who("mia"), purpose)
				if err != nil || got.State != want.State || got.Changes != want.Changes {
					t.Errorf("%s: %s: %+v, %v; want %+v", name, purpose, got, err, want)
				}
			}
		}
		list, err := Consents(t.Context(), v, mia.ID)
		if err != nil || len(list) != 2 || list[0].History[0].Reference != "form 1" {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
	check("the vault as it is", r.Vault)
	restored := r.OpenVault(vault.Config{Driver: vault.DriverSQLite, DSN: backup, Deployment: deployment.Name})
	if marked, err := restored.Restricted(t.Context(), []gdpr.SubjectID{mia.ID}); err != nil || len(marked) != 0 {
		t.Fatal(marked, err)
	}
	check("the restored vault", restored)
	if _, found, err := restored.Find(t.Context(), who("stranger")); err != nil || found {
		t.Errorf("somebody was created: %v", err)
	}
	// It is over in the vault, and the log does not say so yet.
	if lifted, err := restored.Unrestrict(t.Context(), mia.ID, time.Now()); err != nil || !lifted {
		t.Fatal(lifted, err)
	}
	deps := r.worker.deps
	deps.Vault = restored
	if err := New(r.worker.cfg, deps).Replay(t.Context()); err != nil {
		t.Fatal(err)
	}
	if marked, err := restored.Restricted(t.Context(), []gdpr.SubjectID{mia.ID}); err != nil || len(marked) != 0 {
		t.Errorf("it has begun again: %v, %v", marked, err)
	}
}

// An old backup of the vault has lost legal holds, and knows API keys as good that were revoked.
func TestRestoredVaultHoldsAgain(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	stop := r.start()
	mia, _ := r.find("mia")
	now := time.Now().UTC().Truncate(time.Microsecond)
	hold := func(id byte) vault.Hold {
		t.Helper()
		h := vault.Hold{ID: [16]byte{id}, Subject: mia.ID, Reason: "case 12", Author: "counsel", At: now, Expires: now.AddDate(0, 1, 0).Truncate(time.Second)}
		if err := AddHold(t.Context(), r.Vault, h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	lift := func(h vault.Hold) {
		t.Helper()
		if lifted, err := LiftHold(t.Context(), r.Vault, h.ID); err != nil || !lifted {
			t.Fatal(lifted, err)
		}
	}
	key := vault.APIKey{ID: [16]byte{7}, Hash: [32]byte{7}, Role: "dpo", Name: "n", Added: now}
	kept := vault.APIKey{ID: [16]byte{8}, Hash: [32]byte{8}, Role: "dpo", Name: "n", Added: now}
	for _, k := range []vault.APIKey{key, kept} {
		if added, err := AddAPIKey(t.Context(), r.Vault, k); err != nil || !added {
			t.Fatal(added, err)
		}
	}
	before := hold(1)
	backup := filepath.Join(t.TempDir(), "backup.db")
	db, err := sql.Open("sqlite", r.VaultAt.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", backup); err != nil {
		t.Fatal(err)
	}
	lift(before)
	lost, over := hold(2), hold(3)
	lift(over)
	if revoked, err := RevokeAPIKey(t.Context(), r.Vault, key.ID); err != nil || !revoked {
		t.Fatal(revoked, err)
	}
	testkit.Eventually(t, soon, func() bool {
		unsaid, err := r.Vault.Unsaid(t.Context(), time.Now())
		return err == nil && !unsaid
	}, "everything is said")
	stop()

	restored := r.OpenVault(vault.Config{Driver: vault.DriverSQLite, DSN: backup, Deployment: deployment.Name})
	deps := r.worker.deps
	deps.Vault = restored
	for range 2 { // the second time there is nothing to do
		if err := New(r.worker.cfg, deps).AwaitReplay(t.Context()); err != nil {
			t.Fatal(err)
		}
		holds, err := restored.Holds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		active := map[[16]byte]vault.Hold{}
		for _, h := range holds {
			if h.Active(time.Now()) {
				active[h.ID] = h
			}
		}
		if got, ok := active[lost.ID]; len(active) != 1 || !ok || got.Reason != lost.Reason || got.Author != lost.Author || !got.Expires.Equal(lost.Expires) || got.Subject != lost.Subject {
			t.Errorf("holds %+v, want one: %+v", active, lost)
		}
		if _, err := restored.APIKey(t.Context(), key.Hash, time.Now()); err == nil {
			t.Error("the revoked key is good")
		}
		if _, err := restored.APIKey(t.Context(), kept.Hash, time.Now()); err != nil {
			t.Errorf("the other key: %v", err)
		}
	}
}
