package testkit

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
)

// ClickHouseServer is a server with a database for one test.
type ClickHouseServer struct {
	URL, User, Password string
	Database            string // does not exist yet; dropped when the test ends
}

// ClickHouse names a ClickHouse and a database of a unique name in it: the server of AGENTAUDIT_TEST_CLICKHOUSE, else an embedded one of the
// test's own.
func ClickHouse(t testing.TB) ClickHouseServer {
	t.Helper()
	s := ClickHouseServer{
		URL:      os.Getenv("AGENTAUDIT_TEST_CLICKHOUSE"),
		User:     cmp.Or(os.Getenv("AGENTAUDIT_TEST_CLICKHOUSE_USER"), "default"),
		Password: os.Getenv("AGENTAUDIT_TEST_CLICKHOUSE_PASSWORD"),
		Database: unique(t, "_"),
	}
	if s.URL == "" {
		own := EmbeddedClickHouse(t)
		s.URL, s.User, s.Password = own.URL, own.User, own.Password
		return s // it ends with the test
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Exec(ctx, "DROP DATABASE IF EXISTS "+s.Database); err != nil {
			t.Logf("drop the test's database: %v", err)
		}
	})
	return s
}

// EmbeddedClickHouse starts an engine for this test alone, which may kill and restart it.
func EmbeddedClickHouse(t testing.TB) *enginetest.Proc {
	t.Helper()
	if _, err := engine.LibraryPath(""); err != nil {
		Missing(t, "no ClickHouse: AGENTAUDIT_TEST_CLICKHOUSE is not set, and "+err.Error())
	}
	return enginetest.Start(t, enginetest.Options{})
}

// Exec runs one statement over HTTP.
func (s ClickHouseServer) Exec(ctx context.Context, statement string) error {
	_, err := s.Query(ctx, statement)
	return err
}

// Query runs a statement and returns its answer, up to a megabyte.
func (s ClickHouseServer) Query(ctx context.Context, statement string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	req.Close = true // an idle connection would look like a leaked goroutine to goleak
	req.Header.Set("X-ClickHouse-User", s.User)
	req.Header.Set("X-ClickHouse-Key", s.Password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("ClickHouse answers %s: %s", res.Status, answer)
	}
	return string(answer), err
}
