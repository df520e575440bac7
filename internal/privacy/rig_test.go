package privacy

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
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
	t         *testing.T
	worker    *Worker
	exportDir string
}

func newRig(t *testing.T) *rig { return newRigOn(t, vault.DriverSQLite) }

// onBoth runs a test with the vault in SQLite and in PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
	for _, driver := range []string{vault.DriverSQLite, vault.DriverPostgres} {
		t.Run(driver, func(t *testing.T) { test(t, newRigOn(t, driver)) })
	}
}

func newRigOn(t *testing.T, driver string) *rig {
	t.Helper()
	d := deployment.NewOn(t, driver)
	d.StartIngest()
	d.StartExporter()
	return &rig{Deployment: d, t: t, exportDir: filepath.Join(t.TempDir(), "exports")}
}

// in is the rig for a part of its test.
func (r *rig) in(t *testing.T) *rig {
	part := *r
	part.t = t
	return &part
}

func (r *rig) newWorker() *Worker {
	cfg := DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic = r.Ingest.EventsTopic, r.Ingest.SystemTopic
	cfg.ExportDir = r.exportDir
	w := New(cfg, Deps{Kafka: r.Kafka, Store: r.Store, Vault: r.Vault, Author: r.Author, Keys: r.Keys, Log: r.Log})
	w.roundUntil = time.Second // and not a minute, for which tests would have to wait
	return w
}

// start runs a worker.
func (r *rig) start() (stop func()) {
	r.worker = r.newWorker()
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

// wantGood checks everything that is stored.
func (r *rig) wantGood() {
	r.t.Helper()
	keys, err := r.Keys()
	if err != nil {
		r.t.Fatal(err)
	}
	known, err := logkeys.Verifiers(keys.VKeys())
	if err != nil {
		r.t.Fatal(err)
	}
	report, err := verify.Run(context.Background(), verify.Deps{Store: r.Store, Vault: r.Vault}, verify.Options{Deep: true, Keys: known})
	if err != nil || !report.OK {
		r.t.Errorf("verify: %+v, %v", report, err)
	}
}

// sent is an event that was produced.
type sent struct {
	id, user string
	others   []string
	input    any
}

// send produces an event and waits for nothing.
func (r *rig) send(e sent) sent {
	r.t.Helper()
	e.id = uuid.NewString()
	event := map[string]any{
		"schema": "agentaudit.event/v1", "event_id": e.id, "time": time.Now().UTC().Format(time.RFC3339Nano), "type": "tool.call", "action": "call",
		"outcome": "success", "tenant": "acme", "user_id": e.user, "session_id": "s-" + e.user, "attributes": map[string]string{"note": "a;=1+1"},
	}
	if e.input != nil {
		event["content"] = map[string]any{"input": e.input}
	}
	if len(e.others) > 0 {
		event["data_subjects"] = e.others
	}
	text, err := json.Marshal(event)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Kafka.Produce(context.Background(), r.Ingest.EventsTopic, []kafkaio.Message{{Value: text}}); err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) wantCompleted(request vault.Request) vault.Request {
	r.t.Helper()
	ended := r.awaitEnd(request)
	if ended.State != gdpr.StateCompleted {
		r.t.Fatalf("the export is %s: %s", ended.State, ended.Reason)
	}
	return ended
}
