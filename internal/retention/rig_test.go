package retention

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/testkit/testlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = time.Minute

// rig is a deployment with an ingest that seals its system records and an exporter that signs, and a log of several epochs, which no Kafka topic is behind.
type rig struct {
	*Pruner
	*deployment.Deployment
	t    *testing.T
	log  *testlog.Log
	stop func() // of the exporter; harmless when repeated
}

func newRig(t *testing.T) *rig {
	t.Helper()
	d := deployment.New(t)
	r := &rig{t: t, Deployment: d, log: testlog.Open(t, d.Store, deployment.Name, "agent.events/0")}
	r.Pruner = New(Deps{Kafka: d.Kafka, Store: d.Store, Dropper: d.Store, Vault: d.Vault, Author: d.Author, Keys: d.Keys, Log: d.Log}, d.Ingest.SystemTopic)
	d.StartIngest()
	r.stop = d.StartExporter()
	return r
}

func (r *rig) known() note.Verifiers {
	r.t.Helper()
	keys, err := r.Pruner.keys()
	if err != nil {
		r.t.Fatal(err)
	}
	return keys.known
}

// verify checks the log as `agentaudit verify --deep` does.
func (r *rig) verify(pinned ...[]byte) verify.LogReport {
	r.t.Helper()
	report, err := verify.Run(context.Background(), verify.Deps{Store: r.deps.Store, Vault: r.deps.Vault},
		verify.Options{Log: r.log.Head().Log, Deep: true, Keys: r.known(), Pinned: pinned})
	if err != nil {
		r.t.Fatal(err)
	}
	return report.Logs[0]
}

func (r *rig) wantGood(pinned ...[]byte) verify.LogReport {
	r.t.Helper()
	report := r.verify(pinned...)
	if report.FirstBad != nil || report.Size != r.log.Head().Size {
		r.t.Fatalf("verify: %d of %d entries, %+v", report.Size, r.log.Head().Size, report.FirstBad)
	}
	return report
}

// count counts rows of the log that meet a condition.
func (r *rig) count(condition string) uint64 {
	r.t.Helper()
	var out strings.Builder
	sql := "SELECT count() FROM events WHERE log = '" + r.log.Head().Log + "' AND " + condition
	if err := r.deps.Store.Query(context.Background(), sql, "TabSeparated", &out); err != nil {
		r.t.Fatal(err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(out.String()), 10, 64)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// exec changes the tables as somebody with the operator's password could.
func (r *rig) exec(statement string) {
	r.t.Helper()
	statement = strings.NewReplacer("{events}", r.Server.Database+".events", "{tiles}", r.Server.Database+".tiles", "{log}", "'"+r.log.Head().Log+"'").Replace(statement)
	if err := r.Server.Exec(context.Background(), statement+" SETTINGS mutations_sync = 2"); err != nil {
		r.t.Fatal(err)
	}
}

// awaitSigned waits until the log's checkpoint covers all of it, and returns it.
func (r *rig) awaitSigned() vault.Checkpoint {
	r.t.Helper()
	var point vault.Checkpoint
	testkit.Eventually(r.t, soon, func() bool {
		var err error
		point, _, err = r.deps.Vault.Checkpoint(context.Background(), r.log.Head().Log)
		return err == nil && point.Size == r.log.Head().Size
	}, "the checkpoint covers the log")
	return point
}

// cut plans what goes of the log's entries or contents before an epoch: one cut.
func (r *rig) cut(what string, before uint32) Cut {
	r.t.Helper()
	cuts, err := r.Plan(context.Background(), what, before)
	if err != nil || len(cuts) != 1 {
		r.t.Fatalf("plan %+v, %v", cuts, err)
	}
	return cuts[0]
}

// prune drops what is older than an epoch.
func (r *rig) prune(what string, before uint32) vault.Prune {
	r.t.Helper()
	done, err := r.Prune(context.Background(), r.cut(what, before), "test")
	if err != nil || done.Done.IsZero() {
		r.t.Fatalf("prune: %+v, %v", done, err)
	}
	return done
}
