package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// rig is everything that an ingest process joins, with topics and tables of its own.
type rig struct {
	t     *testing.T
	cfg   Config
	kafka *kafkaio.Client
	store *store.Store
	vault *vault.Vault

	vaultDir string
	server   testkit.ClickHouseServer
}

func newRig(t *testing.T, broker string, partitions int) *rig {
	t.Helper()
	server := testkit.ClickHouse(t)
	storeConfig := store.DefaultConfig()
	storeConfig.Addresses, storeConfig.Database = []string{server.URL}, server.Database
	storeConfig.User, storeConfig.Password = server.User, server.Password
	s, err := store.Open(t.Context(), storeConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, cfg: DefaultConfig(), store: s, vaultDir: t.TempDir(), server: server}
	r.vault = newVaultIn(t, r.vaultDir)
	r.cfg.EventsTopic = testkit.Topic(t, broker, partitions)
	r.cfg.SystemTopic = testkit.Topic(t, broker, 1)
	r.cfg.Group = r.cfg.EventsTopic
	r.cfg.Linger = 20 * time.Millisecond
	kafkaConfig := kafkaio.DefaultConfig()
	kafkaConfig.Brokers = []string{broker}
	r.kafka, err = kafkaio.New(kafkaConfig, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.kafka.Close)
	return r
}

func newScanner(t testing.TB) *scan.Scanner {
	t.Helper()
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return scanner
}

// start runs an ingester and returns what ends it and waits.
func (r *rig) start() (in *Ingester, stop func()) {
	r.t.Helper()
	cache, err := vault.NewCache(r.vault, vault.CacheConfig{MaxSubjects: 10_000})
	if err != nil {
		r.t.Fatal(err)
	}
	in, err = New(r.cfg, Deps{Kafka: r.kafka, Store: r.store, Vault: r.vault, Cache: cache, Scanner: newScanner(r.t),
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(r.t.Output(), nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }() // ends with ctx
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("ingester: %v", err)
		}
	})
	r.t.Cleanup(stop)
	return in, stop
}

// event is a small good event of user n.
func event(n int) []byte {
	return fmt.Appendf(nil, `{"schema":"agentaudit.event/v1","event_id":"%s","time":"%s","type":"tool.call","action":"call","outcome":"success","tenant":"acme","user_id":"user-%d","session_id":"s-%d","content":{"input":"hello %d"}}`,
		uuid.New(), time.Now().UTC().Format(time.RFC3339Nano), n, n, n)
}

// exec changes the table as somebody with the operator's password could.
func (r *rig) exec(statement string) {
	r.t.Helper()
	if err := r.server.Exec(context.Background(), strings.ReplaceAll(statement, "{events}", r.server.Database+".events")); err != nil {
		r.t.Fatal(err)
	}
}

// produce sends values keyed by their number.
func (r *rig) produce(values ...[]byte) {
	r.t.Helper()
	messages := make([]kafkaio.Message, len(values))
	for i, v := range values {
		messages[i] = kafkaio.Message{Key: fmt.Appendf(nil, "acme/user-%d", i%17), Value: v}
	}
	if err := r.kafka.Produce(r.t.Context(), r.cfg.EventsTopic, messages); err != nil {
		r.t.Fatal(err)
	}
}

// checked is what reading a whole log found.
type checked struct {
	head    chain.Head
	kinds   map[chain.Kind]int
	offsets []int64
}

// check verifies a whole log, entry by entry.
func (r *rig) check(log string) checked {
	r.t.Helper()
	c := checked{kinds: map[chain.Kind]int{}}
	verifier := chain.NewVerifier(log)
	err := r.store.Scan(context.Background(), log, 0, func(seq uint64, entry []byte, leaf chain.Hash) error {
		if err := verifier.Check(seq, entry, leaf); err != nil {
			return err
		}
		var e chain.Entry
		if err := chain.ParseEntry(entry, &e); err != nil {
			return err
		}
		c.kinds[e.Header.Kind]++
		if e.Header.Kind != chain.KindControl {
			c.offsets = append(c.offsets, e.Header.Source.Offset)
		}
		return nil
	})
	if err != nil {
		r.t.Fatalf("verify %s: %v", log, err)
	}
	c.head = verifier.Head()
	return c
}

// awaitSealed waits until every record of the events topic is in the current log of its partition.
func (r *rig) awaitSealed(partitions int) {
	r.t.Helper()
	testkit.Eventually(r.t, time.Minute, func() bool {
		for p := range partitions {
			_, end, err := r.kafka.Offsets(r.t.Context(), r.cfg.EventsTopic, p)
			if err != nil {
				return false
			}
			generation, err := r.vault.CurrentLog(r.t.Context(), r.cfg.EventsTopic, p)
			if err != nil {
				return false
			}
			head, err := r.store.Head(r.t.Context(), generation.Log)
			if err != nil || head.Size == 0 || head.Next < end {
				return false
			}
		}
		return true
	}, "every record sealed")
}
