package privacy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// away is how long a system does not answer.
const away = time.Second

// behindProxies are the systems of a worker, which can be taken away.
type behindProxies struct {
	deps    Deps
	systems map[string]*testkit.Proxy
}

func (r *rig) behindProxies() *behindProxies {
	r.t.Helper()
	engine, atEngine := testkit.ProxyTo(r.t, r.Server.URL)
	behind := r.VaultAt
	database, dsn := testkit.ProxyTo(r.t, behind.DSN)
	behind.DSN = dsn
	b := &behindProxies{r.newWorker().deps, map[string]*testkit.Proxy{"ClickHouse": engine, "vault": database}}
	b.deps.Store, b.deps.Vault = r.OpenStore(atEngine), r.OpenVault(behind)
	return b
}

// carryOut has a request carried out, while a system goes away behind a step.
func (b *behindProxies) carryOut(r *rig, system *testkit.Proxy, step string, s Submission) vault.Request {
	r.t.Helper()
	w := New(r.newWorker().cfg, b.deps)
	w.claimFor, w.exportAgain = time.Second, time.Second
	var once sync.Once
	back := make(chan struct{})
	w.passed = func(passed string) {
		if passed == step {
			once.Do(func() {
				system.Refuse()
				system.Cut()
				time.AfterFunc(away, func() { system.Heal(); close(back) })
			})
		}
	}
	request := r.submit(s)
	stop := r.Run(w.Run)
	defer stop()
	ended := r.awaitEnd(request)
	<-back
	return ended
}

// ClickHouse or the vault go away in the middle of an erasure: it is carried out when they are back.
func TestErasureWhileSystemsAreAway(t *testing.T) {
	r := newRigOn(t, vault.DriverPostgres)
	b := r.behindProxies()
	for i, step := range []string{stepTaken, stepHeld, stepDestroyed, stepForgotten, stepReceipt, stepOthers} {
		for name, system := range b.systems {
			t.Run(name+" away when "+strings.ReplaceAll(step, " ", "_"), func(t *testing.T) {
				r := r.in(t)
				user := fmt.Sprintf("%s-%d", name, i)
				r.produce(user, "")
				r.awaitSealed()
				ended := b.carryOut(r, system, step, erasureOf(user))
				var receipt gdpr.Receipt
				if err := json.Unmarshal([]byte(ended.Result), &receipt); err != nil || ended.State != gdpr.StateCompleted || receipt.KeysDestroyed != 1 {
					t.Errorf("%s, %s: %+v, %v", ended.State, ended.Reason, receipt, err)
				}
				if _, found := r.find(user); found {
					t.Error("still there")
				}
			})
		}
	}
	r.wantGood()
}

// The same of an export: in the end there is one archive, whole, and nothing of the attempts before it.
func TestExportWhileSystemsAreAway(t *testing.T) {
	r := newRigOn(t, vault.DriverPostgres)
	b := r.behindProxies()
	done := 0
	for i, step := range []string{stepTaken, stepBegun, stepAttempt, stepPart, stepWritten, stepNamed} {
		for name, system := range b.systems {
			done++
			t.Run(name+" away when "+strings.ReplaceAll(step, " ", "_"), func(t *testing.T) {
				r := r.in(t)
				user := fmt.Sprintf("%s-%d", name, i)
				r.produce(user, "")
				r.produce(user, "noah")
				r.awaitSealed()
				ended := b.carryOut(r, system, step, exportOf(user))
				if ended.State != gdpr.StateCompleted {
					t.Fatalf("%s: %s", ended.State, ended.Reason)
				}
				text, err := r.read(ended)
				if err != nil {
					t.Fatal(err)
				}
				if _, events := checkArchive(t, text); len(events) != 2 {
					t.Errorf("%d events in the archive", len(events))
				}
			})
		}
	}
	stop := r.start() // which removes what counts no more
	defer stop()
	testkit.Eventually(t, soon, func() bool {
		left, err := os.ReadDir(r.exportDir)
		return err == nil && len(left) == done
	}, "one file for each archive")
}

// count counts entries.
func (r *rig) count(where string) int {
	r.t.Helper()
	text, err := r.Server.Query(context.Background(), "SELECT count() FROM "+r.Server.Database+".events WHERE "+where)
	if err != nil {
		r.t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// Records of the person pour in while the person is erased, and many are still unread in Kafka. What is from before the erasure is nobody's afterwards, and
// nothing is sealed under the old pseudonym any more.
func TestErasureWhileEventsPourIn(t *testing.T) {
	const backlog = 100_000
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	mia, _ := r.find("mia")
	r.start()
	event := func() kafkaio.Message {
		return kafkaio.Message{Value: fmt.Appendf(nil,
			`{"schema":"agentaudit.event/v1","event_id":"01980000-0000-7000-8000-000000000001","time":"%s","type":"tool.call","action":"call","outcome":"success","tenant":"acme","user_id":"mia","content":{"input":"hello"}}`,
			time.Now().UTC().Format(time.RFC3339Nano))}
	}
	batch := make([]kafkaio.Message, 5000)
	for range backlog / len(batch) {
		for i := range batch {
			batch[i] = event()
		}
		if err := r.Kafka.Produce(t.Context(), r.Ingest.EventsTopic, batch); err != nil {
			t.Fatal(err)
		}
	}
	request := r.submit(erasureOf("mia"))
	log := chain.LogName(r.Ingest.EventsTopic, 0, 0)
	head, err := r.Store.Head(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	pouring, enough := context.WithCancel(t.Context())
	poured := 0
	var producer sync.WaitGroup
	producer.Go(func() {
		for pouring.Err() == nil {
			if r.Kafka.Produce(pouring, r.Ingest.EventsTopic, []kafkaio.Message{event()}) == nil {
				poured++
			}
		}
	})
	ended := r.awaitEnd(request)
	if ended.State != gdpr.StateCompleted {
		t.Fatal(ended.State, ended.Reason)
	}
	atReceipt := time.Now().UTC().Format("2006-01-02 15:04:05.000000")
	testkit.Eventually(t, soon, func() bool { return r.count("subject != '"+mia.ID.String()+"' AND kind = 'event'") > 100 }, "some records are read after the erasure")
	enough()
	producer.Wait()
	r.awaitSealed()
	of := "kind = 'event' AND subject = '" + mia.ID.String() + "'"
	if n := r.count(of + " AND sealed_at > '" + atReceipt + "'"); n != 0 {
		t.Errorf("%d entries were sealed under the old pseudonym after the receipt", n)
	}
	hers, nobodys := r.count(of), r.count("kind = 'event' AND has(findings, 'gdpr.erased')")
	strangers := r.count("kind = 'event' AND NOT has(findings, 'gdpr.erased') AND NOT (" + of + ")")
	if nobodys < backlog/10 {
		t.Errorf("only %d records were nobody's: the backlog was read before", nobodys)
	}
	if n := r.count("has(findings, 'gdpr.erased') AND (notEmpty(content) OR subject != toUUID('00000000-0000-0000-0000-000000000000'))"); n != 0 {
		t.Errorf("%d of them have a subject or content", n)
	}
	// A stranger may have come by that name, with records from after the erasure, but not from before it.
	if n := r.count("kind = 'event' AND NOT has(findings, 'gdpr.erased') AND NOT (" + of + ") AND kafka_offset < " + fmt.Sprint(backlog)); n != 0 {
		t.Errorf("%d records from before the erasure were brought back under another pseudonym", n)
	}
	t.Logf("%d unread at the request; hers %d, nobody's %d, a stranger's %d, poured in meanwhile %d", backlog+1-int(head.Next), hers, nobodys, strangers, poured)
	r.wantGood()
}
