package store

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"
)

// newStore opens a database of this test's own, migrated.
func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(context.Background(), testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return s
}

func testConfig(t testing.TB) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Addresses = []string{os.Getenv("AGENTAUDIT_TEST_CLICKHOUSE")}
	cfg.Database = "test_" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		s, err := Open(context.Background(), cfg)
		if err != nil {
			t.Errorf("drop database: %v", err)
			return
		}
		defer s.Close()
		exec(t, s, "DROP DATABASE IF EXISTS "+cfg.Database)
	})
	return cfg
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
