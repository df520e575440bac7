package testkit

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres makes a schema for this test, dropped at its end, and returns a DSN (a URL) whose search_path is that schema.
func Postgres(t testing.TB) (dsn string) {
	t.Helper()
	base := os.Getenv("AGENTAUDIT_TEST_POSTGRES")
	if base == "" {
		Missing(t, "no PostgreSQL: AGENTAUDIT_TEST_POSTGRES is not set (make test starts one)")
	}
	schema := unique(t, "_")
	quoted := pgx.Identifier{schema}.Sanitize()
	exec := func(statement string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, base)
		if err != nil {
			t.Fatalf("PostgreSQL of AGENTAUDIT_TEST_POSTGRES: %v", err)
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("PostgreSQL: %s: %v", statement, err)
		}
	}
	exec("CREATE SCHEMA " + quoted)
	t.Cleanup(func() { exec("DROP SCHEMA " + quoted + " CASCADE") })
	if !strings.Contains(base, "://") {
		return base + " search_path=" + schema
	}
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("AGENTAUDIT_TEST_POSTGRES: %v", err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}
