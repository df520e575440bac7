package store

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// TestMain starts one embedded engine for all tests, unless they are to run on a server.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("AGENTAUDIT_TEST_CLICKHOUSE") != "" {
		return m.Run()
	}
	if _, err := engine.LibraryPath(""); err != nil {
		return m.Run() // testkit says what is missing
	}
	scratch, err := os.MkdirTemp("", "store-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	proc, err := enginetest.Launch(enginetest.Options{}, scratch)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer proc.Stop()
	os.Setenv("AGENTAUDIT_TEST_CLICKHOUSE", proc.URL)
	os.Setenv("AGENTAUDIT_TEST_CLICKHOUSE_USER", proc.User)
	os.Setenv("AGENTAUDIT_TEST_CLICKHOUSE_PASSWORD", proc.Password)
	return m.Run()
}

func testConfig(t testing.TB) Config {
	t.Helper()
	server := testkit.ClickHouse(t)
	cfg := DefaultConfig()
	cfg.Addresses, cfg.Database, cfg.User, cfg.Password = []string{server.URL}, server.Database, server.User, server.Password
	return cfg
}

func openStore(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// newStore opens a database of this test's own, migrated.
func newStore(t testing.TB) *Store {
	t.Helper()
	s := openStore(t, testConfig(t))
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

// exec runs a statement as an operator could.
func exec(t testing.TB, s *Store, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	resp, err := s.servers[0].ask(ctx, sql, params{"wait_end_of_query": "1"})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	resp.Body.Close()
}

func openWriter(t testing.TB, s *Store, log string) *Writer {
	t.Helper()
	w, err := s.OpenWriter(context.Background(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// insert stores the block on top of the head that is stored.
func insert(t failer, w *Writer, b *Block) {
	t.Helper()
	head, err := w.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Insert(context.Background(), head.Token(0), b); err != nil {
		t.Fatal(err)
	}
}

func serverAt(t testing.TB, address string, client *http.Client) *server {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &server{base: base, client: client}
}
