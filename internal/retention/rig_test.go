package retention

import (
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/exporter"
	"github.com/agentaudit/agentaudit/internal/ingest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/testlog"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = time.Minute

// rig is a deployment with an ingest that seals its system records and an exporter that signs, and a log of several epochs, which no Kafka topic is behind.
type rig struct {
	*Pruner
	t           *testing.T
	server      testkit.ClickHouseServer
	keys        string
	ingest      ingest.Config
	exporterCfg exporter.Config
	log         *testlog.Log
	exporter    *exporter.Exporter
	alarms      *alarms
	metrics     *prometheus.Registry // of the exporter
	stop        func()               // of the exporter; harmless when repeated
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, server: testkit.ClickHouse(t), keys: filepath.Join(t.TempDir(), "keys")}
	cfg := store.DefaultConfig()
	cfg.Addresses, cfg.Database, cfg.User, cfg.Password = []string{r.server.URL}, r.server.Database, r.server.User, r.server.Password
	stored, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stored.Close() })
	if err := stored.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	keyring, err := vault.CreateKeyring(t.Context(), vault.KeyConfig{Source: "file:" + filepath.Join(t.TempDir(), "keyring")})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), vault.Config{Driver: vault.DriverSQLite, DSN: filepath.Join(t.TempDir(), "vault.db"), Deployment: "test"}, keyring)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	if _, err := logkeys.Create(r.keys, "test"); err != nil {
		t.Fatal(err)
	}
	authorKey := filepath.Join(t.TempDir(), "author.key")
	if err := author.CreateKey(authorKey); err != nil {
		t.Fatal(err)
	}
	signer, err := author.Load("exporter", authorKey)
	if err != nil {
		t.Fatal(err)
	}
	broker := testkit.EmbeddedKafka(t).Address
	kafkaConfig := kafkaio.DefaultConfig()
	kafkaConfig.Brokers = []string{broker}
	kafka, err := kafkaio.New(kafkaConfig, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	r.ingest = ingest.DefaultConfig()
	r.ingest.EventsTopic, r.ingest.SystemTopic, r.ingest.Group = testkit.Topic(t, broker, 1), testkit.Topic(t, broker, 1), t.Name()
	r.ingest.Linger = 10 * time.Millisecond
	r.exporterCfg = exporter.DefaultConfig()
	r.exporterCfg.SystemTopic, r.exporterCfg.CheckpointTopic = r.ingest.SystemTopic, testkit.Topic(t, broker, 1)
	r.exporterCfg.PollEvery, r.exporterCfg.RecheckEvery, r.exporterCfg.PublicTiles = 20*time.Millisecond, time.Second, true
	r.Pruner = New(Deps{
		Kafka: kafka, Store: stored, Dropper: stored, Vault: v, Author: signer,
		Keys: func() (*logkeys.Folder, error) { return logkeys.Load(r.keys, "test") },
		Log:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	}, r.ingest.SystemTopic)
	r.log = testlog.Open(t, stored, "test", "agent.events/0")
	r.startIngest()
	r.startExporter()
	return r
}

func (r *rig) startIngest() {
	r.t.Helper()
	cache, err := vault.NewCache(r.deps.Vault, vault.CacheConfig{MaxSubjects: 1024})
	if err != nil {
		r.t.Fatal(err)
	}
	in, err := ingest.New(r.ingest, ingest.Deps{
		Kafka: r.deps.Kafka, Store: r.deps.Store, Vault: r.deps.Vault, Cache: cache, Metrics: prometheus.NewRegistry(), Log: r.deps.Log,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.run(in.Run))
}

// run runs a process and returns what ends it.
func (r *rig) run(process func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- process(ctx) }() // ends with ctx
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("process: %v", err)
		}
	})
}

func (r *rig) startExporter() {
	r.t.Helper()
	r.alarms, r.metrics = &alarms{}, prometheus.NewRegistry()
	var err error
	r.exporter, err = exporter.New(r.exporterCfg, exporter.Deps{
		Kafka: r.deps.Kafka, Store: r.deps.Store, Vault: r.deps.Vault, Author: r.deps.Author, Keys: r.deps.Keys, Metrics: r.metrics,
		Log: slog.New(slog.NewTextHandler(r.alarms, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.stop = r.run(r.exporter.Run)
	r.t.Cleanup(r.stop)
}

// alarms keeps what is logged as an error.
type alarms struct {
	mu   sync.Mutex
	text strings.Builder
}

func (a *alarms) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(line)
}

func (a *alarms) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
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
	statement = strings.NewReplacer("{events}", r.server.Database+".events", "{tiles}", r.server.Database+".tiles", "{log}", "'"+r.log.Head().Log+"'").Replace(statement)
	if err := r.server.Exec(context.Background(), statement+" SETTINGS mutations_sync = 2"); err != nil {
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
