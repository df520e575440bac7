package privacy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// The gauges say how many requests there are, and when the first of the open ones is due; nothing of the ended ones.
func TestGauges(t *testing.T) {
	for _, driver := range []string{vault.DriverSQLite, vault.DriverPostgres} {
		t.Run(driver, func(t *testing.T) {
			d := deployment.NewOn(t, driver)
			registry := prometheus.NewRegistry()
			g, err := NewGauges(d.Vault, registry, d.Log)
			if err != nil {
				t.Fatal(err)
			}
			if n := testutil.CollectAndCount(g, "agentaudit_gdpr_requests"); n != 21 {
				t.Errorf("%d series from the start, want one for each kind and status", n)
			}
			if n := testutil.CollectAndCount(g, "agentaudit_gdpr_earliest_due_seconds"); n != 0 {
				t.Error("a date without a request")
			}
			now := time.Now().UTC().Truncate(time.Second)
			for i, kind := range []gdpr.RequestKind{gdpr.RequestErasure, gdpr.RequestErasure, gdpr.RequestExport, gdpr.RequestErasure} {
				request, _, err := Submit(t.Context(), d.Vault, Submission{
					Caller: uuid.NewString(), Kind: kind, Who: vault.Identity{Tenant: "acme", User: fmt.Sprint(i)}, Asked: now.AddDate(0, 0, i-10),
				})
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 { // the earliest is over
					if done, err := CancelRequest(t.Context(), d.Vault, &request, "test"); err != nil || !done {
						t.Fatal(done, err)
					}
				}
			}
			d.Run(g.Run)
			due := now.AddDate(0, 0, 1-10).AddDate(0, 1, 0)
			testkit.Eventually(t, soon, func() bool { return testutil.CollectAndCount(g, "agentaudit_gdpr_earliest_due_seconds") == 1 }, "the vault was asked")
			if err := testutil.CollectAndCompare(g, strings.NewReader(fmt.Sprintf(`
# HELP agentaudit_gdpr_earliest_due_seconds When the first of the requests is due that are not ended, in Unix seconds. Absent if there is none.
# TYPE agentaudit_gdpr_earliest_due_seconds gauge
agentaudit_gdpr_earliest_due_seconds %d
`, due.Unix())), "agentaudit_gdpr_earliest_due_seconds"); err != nil {
				t.Error(err)
			}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{}
			for _, family := range families {
				if family.GetName() != "agentaudit_gdpr_requests" {
					continue
				}
				for _, m := range family.GetMetric() {
					if n := m.GetGauge().GetValue(); n > 0 {
						got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = n
					}
				}
			}
			if len(got) != 3 || got["erasure received"] != 2 || got["erasure cancelled"] != 1 || got["export received"] != 1 {
				t.Errorf("got %v", got)
			}
		})
	}
}
