// Package deployment runs a small deployment in a test's own process: embedded Kafka, ClickHouse, a vault, an ingest and an exporter, with tables, topics and
// keys of its own. Its name is "test".
package deployment

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/exporter"
	"github.com/agentaudit/agentaudit/internal/ingest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

const (
	// Name is the deployment's name.
	Name = "test"
	// AuthorName is under which name its exporter signs what it says.
	AuthorName = "exporter"
)

// Deployment is what New has made. It is closed at the end of the test.
type Deployment struct {
	Server    testkit.ClickHouseServer
	Store     *store.Store
	Vault     *vault.Vault
	Keyring   *vault.Keyring
	VaultAt   vault.Config
	KeyFile   string // of the keyring
	Broker    string // address
	Kafka     *kafkaio.Client
	Author    *author.Author // AuthorName
	AuthorKey string         // file
	Log       *slog.Logger
	KeyDir    string // of the keys that sign checkpoints
	Ingest    ingest.Config
	Exports   exporter.Config

	Exporter *exporter.Exporter   // the one that was started last
	Metrics  *prometheus.Registry // its
	Alarms   *Alarms              // its

	t testing.TB
}

// New makes a deployment with its vault in SQLite. Nothing runs yet.
func New(t testing.TB) *Deployment {
	t.Helper()
	return NewOn(t, vault.DriverSQLite)
}

// NewOn is New with a vault in SQLite or PostgreSQL.
func NewOn(t testing.TB, driver string) *Deployment {
	t.Helper()
	d := &Deployment{t: t, Server: testkit.ClickHouse(t), KeyDir: filepath.Join(t.TempDir(), "keys"), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	d.Store = d.OpenStore(d.Server.URL)
	if err := d.Store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	d.KeyFile = filepath.Join(t.TempDir(), "keyring")
	d.Keyring, err = vault.CreateKeyring(t.Context(), vault.KeyConfig{Source: "file:" + d.KeyFile})
	if err != nil {
		t.Fatal(err)
	}
	d.VaultAt = vault.Config{Driver: driver, DSN: filepath.Join(t.TempDir(), "vault.db"), Deployment: Name}
	if driver == vault.DriverPostgres {
		d.VaultAt.DSN = testkit.Postgres(t)
	}
	d.Vault = d.OpenVault(d.VaultAt)
	if _, err := logkeys.Create(d.KeyDir, Name); err != nil {
		t.Fatal(err)
	}
	d.AuthorKey = filepath.Join(t.TempDir(), "author.key")
	if err := author.CreateKey(d.AuthorKey); err != nil {
		t.Fatal(err)
	}
	if d.Author, err = author.Load(AuthorName, d.AuthorKey); err != nil {
		t.Fatal(err)
	}
	d.Broker = testkit.EmbeddedKafka(t).Address
	kafkaConfig := kafkaio.DefaultConfig()
	kafkaConfig.Brokers = []string{d.Broker}
	if d.Kafka, err = kafkaio.New(kafkaConfig, kafkaio.Deps{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Kafka.Close)
	d.Ingest = ingest.DefaultConfig()
	d.Ingest.EventsTopic, d.Ingest.SystemTopic, d.Ingest.Group = testkit.Topic(t, d.Broker, 1), testkit.Topic(t, d.Broker, 1), t.Name()
	d.Ingest.Linger = 10 * time.Millisecond
	d.Exports = exporter.DefaultConfig()
	d.Exports.SystemTopic, d.Exports.CheckpointTopic = d.Ingest.SystemTopic, testkit.Topic(t, d.Broker, 1)
	d.Exports.PollEvery, d.Exports.RecheckEvery, d.Exports.PublicTiles = 20*time.Millisecond, time.Second, true
	return d
}

// OpenVault opens the vault, or a copy of it.
func (d *Deployment) OpenVault(at vault.Config) *vault.Vault {
	d.t.Helper()
	v, err := vault.Open(d.t.Context(), at, d.Keyring)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = v.Close() })
	return v
}

// OpenStore opens ClickHouse at another address, for example behind a proxy.
func (d *Deployment) OpenStore(url string) *store.Store {
	d.t.Helper()
	cfg := store.DefaultConfig()
	cfg.Addresses, cfg.Database, cfg.User, cfg.Password = []string{url}, d.Server.Database, d.Server.User, d.Server.Password
	s, err := store.Open(d.t.Context(), cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = s.Close() })
	return s
}

// Keys reads the keys that sign checkpoints.
func (d *Deployment) Keys() (*logkeys.Folder, error) { return logkeys.Load(d.KeyDir, Name) }

// StartIngest runs an ingest. stop ends it and waits, and is called at the end of the test at the latest.
func (d *Deployment) StartIngest() (stop func()) {
	d.t.Helper()
	cache, err := vault.NewCache(d.Vault, vault.CacheConfig{MaxSubjects: 1024})
	if err != nil {
		d.t.Fatal(err)
	}
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	in, err := ingest.New(d.Ingest, ingest.Deps{
		Kafka: d.Kafka, Store: d.Store, Vault: d.Vault, Cache: cache, Scanner: scanner, Metrics: prometheus.NewRegistry(), Log: d.Log,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return d.Run(in.Run)
}

// StartExporter runs an exporter. stop is as that of StartIngest.
func (d *Deployment) StartExporter() (stop func()) {
	d.t.Helper()
	d.Alarms, d.Metrics = &Alarms{}, prometheus.NewRegistry()
	var err error
	d.Exporter, err = exporter.New(d.Exports, exporter.Deps{
		Kafka: d.Kafka, Store: d.Store, Vault: d.Vault, Author: d.Author, Keys: d.Keys, Metrics: d.Metrics,
		Log: slog.New(slog.NewTextHandler(d.Alarms, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return d.Run(d.Exporter.Run)
}

// Run runs a process. stop is as that of StartIngest.
func (d *Deployment) Run(process func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- process(ctx) }() // ends with ctx
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("process: %v", err)
		}
	})
	d.t.Cleanup(stop)
	return stop
}

// Alarms keeps what an exporter logs as errors.
type Alarms struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (a *Alarms) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.Write(line)
}

// String returns all that was logged.
func (a *Alarms) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}
