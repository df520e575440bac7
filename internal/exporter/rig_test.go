package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// TestMain looks for goroutines that are left. Those of Tessera's fsck wait for ever once it has found something.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/transparency-dev/tessera/fsck.(*fsckTree).resourceCheckWorker.func1"))
}

// soon bounds waiting for what should take a second or two.
const soon = 30 * time.Second

// rig is what an exporter works with, with tables of its own. Its Kafka is a port that nobody listens on, unless a test sets another: following logs
// must not need it.
type rig struct {
	t      testing.TB
	cfg    Config
	server testkit.ClickHouseServer
	store  *store.Store
	vault  *vault.Vault
	author *author.Author
	kafka  *kafkaio.Client
	keys   string // folder of the keys that sign

	prepare func(p *process) // called before an exporter runs; nil: nothing to do
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, cfg: DefaultConfig(), server: testkit.ClickHouse(t)}
	r.cfg.PollEvery, r.cfg.RecheckEvery, r.cfg.CheckPublished = 20*time.Millisecond, time.Second, false
	r.store = r.openStore(r.server.URL)
	if err := r.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.vault = newVault(t)
	r.author = newAuthor(t, "exporter-1")
	r.kafka = newKafka(t, "127.0.0.1:1")
	r.keys = filepath.Join(t.TempDir(), "keys")
	r.newKey()
	return r
}

// openStore opens the rig's tables at an address, which may be a proxy's.
func (r *rig) openStore(address string) *store.Store {
	r.t.Helper()
	cfg := store.DefaultConfig()
	cfg.Addresses, cfg.Database, cfg.User, cfg.Password = []string{address}, r.server.Database, r.server.User, r.server.Password
	opened, err := store.Open(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// newKey adds a key that signs.
func (r *rig) newKey() logkeys.Key {
	r.t.Helper()
	key, err := logkeys.Create(r.keys, "test")
	if err != nil {
		r.t.Fatal(err)
	}
	return key
}

// loadKeys is what an exporter reads keys with.
func (r *rig) loadKeys() (*logkeys.Folder, error) { return logkeys.Load(r.keys, "test") }

// known are the public keys of the checkpoints.
func (r *rig) known() note.Verifiers {
	r.t.Helper()
	folder, err := r.loadKeys()
	if err != nil {
		r.t.Fatal(err)
	}
	known, err := logkeys.Verifiers(folder.VKeys())
	if err != nil {
		r.t.Fatal(err)
	}
	return known
}

func newVault(t testing.TB) *vault.Vault {
	t.Helper()
	return openVault(t, vault.DriverSQLite, filepath.Join(t.TempDir(), "vault.db"))
}

// usePostgres gives the rig a vault in PostgreSQL, behind a proxy.
func (r *rig) usePostgres() *testkit.Proxy {
	r.t.Helper()
	proxy, dsn := testkit.ProxyTo(r.t, testkit.Postgres(r.t))
	r.vault = openVault(r.t, vault.DriverPostgres, dsn)
	return proxy
}

func openVault(t testing.TB, driver, dsn string) *vault.Vault {
	t.Helper()
	keys, err := vault.CreateKeyring(t.Context(), vault.KeyConfig{Source: "file:" + filepath.Join(t.TempDir(), "keyring")})
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), vault.Config{Driver: driver, DSN: dsn, Deployment: "test"}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func newAuthor(t testing.TB, name string) *author.Author {
	t.Helper()
	path := filepath.Join(t.TempDir(), "author.key")
	if err := author.CreateKey(path); err != nil {
		t.Fatal(err)
	}
	a, err := author.Load(name, path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// process is a running exporter.
type process struct {
	*Exporter
	registry *prometheus.Registry
	alarms   *alarms
	cancel   func()
	stop     func() // cancel and wait; harmless when repeated
}

func (r *rig) start() *process {
	r.t.Helper()
	p := &process{registry: prometheus.NewRegistry(), alarms: &alarms{out: r.t.Output()}}
	var err error
	p.Exporter, err = New(r.cfg, Deps{Kafka: r.kafka, Store: r.store, Vault: r.vault, Author: r.author, Keys: r.loadKeys, Metrics: p.registry,
		Log: slog.New(slog.NewJSONHandler(p.alarms, nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	if r.prepare != nil {
		r.prepare(p)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }() // ends with ctx
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("exporter: %v", err)
		}
	})
	r.t.Cleanup(p.stop)
	return p
}

// alarms keeps the log's records of severity critical.
type alarms struct {
	out interface{ Write([]byte) (int, error) }

	mu  sync.Mutex
	all []alarm
}

type alarm struct {
	Severity string `json:"severity"`
	Log      string `json:"log"`
	Seq      uint64 `json:"seq"`
	Reason   string `json:"reason"`
}

func (a *alarms) Write(line []byte) (int, error) {
	var one alarm
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&one); err == nil && one.Severity == "critical" {
		a.mu.Lock()
		a.all = append(a.all, one)
		a.mu.Unlock()
	}
	return a.out.Write(line)
}

func (a *alarms) list() []alarm {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]alarm(nil), a.all...)
}

// metric returns the value of a gauge or counter without labels, or with log as its only one; -1 if there is none.
func (p *process) metric(t testing.TB, name, log string) float64 {
	t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if log == "" && len(m.GetLabel()) == 0 || len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == log {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

// awaitAlarm waits for the one alarm and checks it.
func (r *rig) awaitAlarm(p *process, log string, seq uint64, reason string) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool { return len(p.alarms.list()) > 0 }, "an alarm")
	got := p.alarms.list()[0]
	if len(p.alarms.list()) > 1 || got.Log != log || got.Seq != seq || !strings.Contains(got.Reason, reason) {
		r.t.Fatalf("alarms %+v, want one of %s at seq %d: %s", p.alarms.list(), log, seq, reason)
	}
	if failures := testutil.ToFloat64(p.metrics.failures); failures != 1 {
		r.t.Errorf("agentaudit_verify_failures_total is %v", failures)
	}
}

// awaitCheckpoint waits until the vault's checkpoint is the head of l.
func (r *rig) awaitCheckpoint(l *testLog) {
	r.t.Helper()
	testkit.Eventually(r.t, soon, func() bool {
		c, _, err := r.vault.Checkpoint(context.Background(), l.head.Log)
		return err == nil && c.Size == l.head.Size && c.Head == l.head.Leaf
	}, "the checkpoint of "+l.head.Log+" has "+strconv.FormatUint(l.head.Size, 10)+" entries")
}

func (r *rig) checkpointSize(log string) uint64 {
	r.t.Helper()
	c, _, err := r.vault.Checkpoint(context.Background(), log)
	if err != nil {
		r.t.Fatal(err)
	}
	return c.Size
}

// exec changes the table as somebody with the operator's password could.
func (r *rig) exec(statement string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	statement = strings.NewReplacer("{events}", r.server.Database+".events", "{tiles}", r.server.Database+".tiles").Replace(statement)
	if err := r.server.Exec(ctx, statement); err != nil {
		r.t.Fatal(err)
	}
}

// testLog writes a log as ingest does.
type testLog struct {
	rig    *rig
	head   chain.Head
	leaves []chain.Hash // as they were written, whatever becomes of the table
	writer *store.Writer
	block  *store.Block
}

// newLog opens a log with n entries behind its first.
func (r *rig) newLog(name string, n int) *testLog {
	r.t.Helper()
	return r.newSuccessor(name, nil, n)
}

// newSuccessor opens a log that names the one before it.
func (r *rig) newSuccessor(name string, before *chain.Predecessor, n int) *testLog {
	r.t.Helper()
	writer, err := r.store.OpenWriter(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(writer.Close)
	l := &testLog{rig: r, head: chain.EmptyHead(name), writer: writer, block: store.NewBlock()}
	topic, partition, _, err := chain.ParseLog(name)
	if err != nil {
		r.t.Fatal(err)
	}
	open := chain.Control{Op: chain.OpOpen, NextEpoch: 202611, Deployment: "test", Topic: topic, Partition: partition, Predecessor: before}
	l.insert([]chain.Header{{Kind: chain.KindControl, Source: chain.Source{Offset: chain.NoOffset}}}, [][]byte{chain.AppendControl(nil, &open)})
	if n > 0 {
		l.add(n)
	}
	return l
}

// add inserts n entries at once.
func (l *testLog) add(n int) {
	l.rig.t.Helper()
	headers, bodies := make([]chain.Header, n), make([][]byte, n)
	for i := range n {
		offset := l.head.Next + int64(i)
		headers[i] = chain.Header{Kind: chain.KindRejected, Source: chain.Source{Offset: offset, Next: offset + 1}}
		bodies[i] = chain.AppendRejected(nil, &chain.Rejected{Field: "record", Reason: "not JSON", Bytes: i})
	}
	l.insert(headers, bodies)
}

func (l *testLog) insert(headers []chain.Header, bodies [][]byte) {
	l.rig.t.Helper()
	token := l.head.Token(0)
	l.block.Reset()
	for i := range headers {
		h := &headers[i]
		h.Log, h.Seq, h.Prev, h.Epoch, h.SealedMicros = l.head.Log, l.head.Size, l.head.Leaf, l.head.NextEpoch, time.Now().UnixMicro()
		entry := chain.AppendEntry(nil, h, bodies[i])
		head, err := chain.HeadOf(entry)
		if err != nil {
			l.rig.t.Fatal(err)
		}
		if err := l.block.Append(&store.Row{Header: h, Leaf: head.Leaf, Entry: entry}); err != nil {
			l.rig.t.Fatal(err)
		}
		l.head, l.leaves = head, append(l.leaves, head.Leaf)
	}
	if err := l.writer.Insert(context.Background(), token, l.block); err != nil {
		l.rig.t.Fatal(err)
	}
}
