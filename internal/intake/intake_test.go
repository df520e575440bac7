package intake

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = time.Minute

type rig struct {
	*deployment.Deployment
	t     *testing.T
	topic string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{Deployment: deployment.New(t), t: t}
	r.topic = testkit.Topic(t, r.Broker, 1)
	return r
}

// start runs an intake.
func (r *rig) start(trusted bool) (in *Intake, stop func()) {
	r.t.Helper()
	in, err := New(Config{Topic: r.topic, Group: "intake-" + r.topic, Trusted: trusted}, Deps{Kafka: r.Kafka, Vault: r.Vault, Metrics: prometheus.NewRegistry(), Log: r.Log})
	if err != nil {
		r.t.Fatal(err)
	}
	return in, r.Run(in.Run)
}

func (r *rig) send(values ...string) {
	r.t.Helper()
	messages := make([]kafkaio.Message, len(values))
	for i, v := range values {
		messages[i].Value = []byte(v)
	}
	if err := r.Kafka.ProduceTo(context.Background(), r.topic, 0, messages); err != nil {
		r.t.Fatal(err)
	}
}

func form(id, kind, user, more string) string {
	return fmt.Sprintf(`{"subject_request_id":"%s","subject_request_type":"%s","submitted_time":"%s","subject_identities":[{"identity_type":"email","identity_value":"%s","identity_format":"raw"}]%s}`,
		id, kind, time.Now().UTC().Add(-time.Second).Format(time.RFC3339), user, more)
}

const acme = `,"tenant":"acme"`

func (r *rig) requests() map[string]vault.Request {
	r.t.Helper()
	list, err := r.Vault.Requests(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	byCaller := map[string]vault.Request{}
	for _, one := range list {
		byCaller[one.Caller] = one
	}
	if len(byCaller) != len(list) {
		r.t.Errorf("%d requests with %d ids", len(list), len(byCaller))
	}
	return byCaller
}

// await waits until so many records have come to an end.
func await(t *testing.T, in *Intake, accepted, repeated, rejected float64) {
	t.Helper()
	count := func(result string) float64 { return testutil.ToFloat64(in.records.WithLabelValues(result)) }
	testkit.Eventually(t, soon, func() bool {
		return count(resultAccepted)+count(resultRepeated)+count(resultRejected) >= accepted+repeated+rejected
	}, "the records are read")
	if a, p, x := count(resultAccepted), count(resultRepeated), count(resultRejected); a != accepted || p != repeated || x != rejected {
		t.Errorf("%v accepted, %v repeated, %v rejected; want %v, %v, %v", a, p, x, accepted, repeated, rejected)
	}
}

func (r *rig) committed(want int64) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool {
		next, ok, err := r.Kafka.Committed(context.Background(), "intake-"+r.topic, r.topic, 0)
		return err == nil && ok && next == want
	}, "what was read is committed")
}

// Requests come in once, over duplicates and restarts; nobody is believed about having verified them; what is none stands in the log, without a word of it.
func TestIntake(t *testing.T) {
	r := newRig(t)
	r.StartIngest()
	r.StartExporter()
	cfg := privacy.DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic = r.Ingest.EventsTopic, r.Ingest.SystemTopic
	r.Run(privacy.New(cfg, privacy.Deps{Kafka: r.Kafka, Store: r.Store, Vault: r.Vault, Author: r.Author, Log: r.Log}).Run)

	one, two := uuid.NewString(), uuid.NewString()
	first := form(one, "erasure", "mia.quillfeather", acme+`,"verified_by":"me"`)
	in, stop := r.start(false)
	r.send(first, first, form(two, "access", "noah", acme))
	await(t, in, 2, 1, 0)
	rejected := []struct{ value, field, reason string }{
		{"mia.quillfeather wants to be erased", "", "it is no JSON object"},
		{`{"mia.quillfeather":1}`, "", "it has a member that is not known"},
		{form(uuid.NewString(), "erasure", "mia.quillfeather", ""), "tenant", "is missing"},
		{form(uuid.NewString(), "mia.quillfeather", "mia", acme), "subject_request_type", "access, portability, erasure or restriction expected"},
		{form(uuid.NewString(), "erasure", strings.Repeat("mia.quillfeather", 5000), acme), "", "it has more than 64 KiB"},
		{form(one, "erasure", "another", acme), "subject_request_id", "another request has this id"},
		{form(one, "erasure", "mia.quillfeather", `,"tenant":"globex"`), "subject_request_id", "another request has this id"},
		{"", "", "it is no JSON object"},
	}
	for _, x := range rejected {
		r.send(x.value)
	}
	await(t, in, 2, 1, float64(len(rejected)))
	r.committed(int64(3 + len(rejected)))
	stop()
	got := r.requests()
	if len(got) != 2 || got[one].State != gdpr.StateReceived || got[one].VerifiedBy != "" || got[one].Kind != gdpr.RequestErasure || got[one].Tenant != "acme" ||
		got[two].Kind != gdpr.RequestExport {
		t.Errorf("got %+v", got)
	}
	if _, found, err := r.Vault.Find(t.Context(), vault.Identity{Tenant: "acme", User: "mia.quillfeather"}); err != nil || found {
		t.Errorf("somebody was created by a request: %v", err)
	}
	// What comes while nobody reads waits; a repetition is the same; and then a topic that is trusted.
	three, four := uuid.NewString(), uuid.NewString()
	r.send(first, form(three, "restriction", "noah", acme))
	again, stop := r.start(true)
	await(t, again, 1, 1, 0)
	r.send(form(four, "access", "nobody", acme+`,"verified_by":"desk 3"`))
	await(t, again, 2, 1, 0)
	stop()
	got = r.requests()
	if len(got) != 4 || got[one].State != gdpr.StateReceived || got[three].VerifiedBy != "topic "+r.topic || got[four].VerifiedBy != "desk 3" {
		t.Errorf("got %+v", got)
	}

	// From the beginning, as if nothing had been committed: nothing is new, and nothing is said again.
	fresh, err := New(Config{Topic: r.topic, Group: "other-" + r.topic}, Deps{Kafka: r.Kafka, Vault: r.Vault, Metrics: prometheus.NewRegistry(), Log: r.Log})
	if err != nil {
		t.Fatal(err)
	}
	stop = r.Run(fresh.Run)
	// The second form of mia's is known still; that of another person as well.
	await(t, fresh, 0, 6, float64(len(rejected)))
	stop()
	if got := r.requests(); len(got) != 4 {
		t.Errorf("got %+v", got)
	}
	var said []string
	testkit.Eventually(t, soon, func() bool {
		found, err := r.Store.FindEvents(context.Background(), store.Filter{Type: "gdpr.request", Limit: 1000})
		if err != nil {
			return false
		}
		said = said[:0]
		for _, f := range found {
			if strings.Contains(string(f.Entry), `"action":"rejected"`) {
				said = append(said, string(f.Entry))
			}
		}
		return len(said) >= len(rejected)
	}, "what was rejected stands in the log")
	if len(said) != len(rejected) {
		t.Errorf("%d entries, want %d", len(said), len(rejected))
	}
	for i, x := range rejected {
		wanted := []string{fmt.Sprintf(`"offset":"%d"`, 3+i), `"reason":"` + x.reason + `"`, `"topic":"` + r.topic + `"`, `"outcome":"failure"`}
		if !slices.ContainsFunc(said, func(entry string) bool {
			return !slices.ContainsFunc(wanted, func(part string) bool { return !strings.Contains(entry, part) })
		}) {
			t.Errorf("nothing is said of the record at offset %d: %s", 3+i, x.reason)
		}
	}
	for _, entry := range said {
		if strings.Contains(entry, "quillfeather") || strings.Contains(entry, "acme") || strings.Contains(entry, one) {
			t.Errorf("it quotes the record: %s", entry)
		}
	}
}

// While the vault is away nothing is committed and nothing is lost.
func TestVaultAway(t *testing.T) {
	r := newRig(t)
	in, stop := r.start(false)
	one, two := uuid.NewString(), uuid.NewString()
	r.send(form(one, "erasure", "mia", acme))
	await(t, in, 1, 0, 0)
	r.committed(1)
	if err := os.Rename(r.VaultAt.DSN, r.VaultAt.DSN+".away"); err != nil {
		t.Fatal(err)
	}
	r.send(form(two, "erasure", "noah", acme), "{")
	// An end in the middle of it is as good as any: the next one goes on there.
	stop()
	again, stop := r.start(false)
	defer stop()
	testkit.Eventually(t, soon, func() bool { return testutil.ToFloat64(again.lag.WithLabelValues(r.topic+"/0")) == 0 }, "it has begun")
	if next, _, err := r.Kafka.Committed(t.Context(), "intake-"+r.topic, r.topic, 0); err != nil || next != 1 {
		t.Errorf("committed %d, %v", next, err)
	}
	if err := os.Rename(r.VaultAt.DSN+".away", r.VaultAt.DSN); err != nil {
		t.Fatal(err)
	}
	await(t, again, 1, 0, 1)
	if got := r.requests(); len(got) != 2 || got[two].State != gdpr.StateReceived {
		t.Errorf("got %+v", got)
	}
}
