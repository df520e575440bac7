package engine_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/enginetest"
)

// shared is one engine for all tests that leave it as it was, apart from tables of their own.
var shared *enginetest.Proc

func TestMain(m *testing.M) {
	if dir := os.Getenv(leakVariable); dir != "" {
		os.Exit(runAndFindLeaks(dir))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "enginetest")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if shared, err = enginetest.Launch(enginetest.Options{}, dir); err != nil {
		fmt.Fprintln(os.Stderr, "start the embedded engine:", err)
		return 1
	}
	code := m.Run()
	if err := shared.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the embedded engine:", err)
		return 1
	}
	return code
}

// params are pairs of URL parameters.
func params(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

type reply struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

func (r reply) code() string { return r.header.Get("X-ClickHouse-Exception-Code") }

// send posts a request to an engine.
func send(t *testing.T, p *enginetest.Proc, v url.Values, body io.Reader, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, p.URL+"/?"+v.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(p.User, p.Password)
	return do(t, req, headers...)
}

func do(t *testing.T, req *http.Request, headers ...string) reply {
	t.Helper()
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Header, string(b), err}
}

var client = &http.Client{Transport: &http.Transport{DisableCompression: true}}

// query runs a statement that must succeed and returns its answer without the last line end.
func query(t *testing.T, p *enginetest.Proc, sql string, pairs ...string) string {
	t.Helper()
	r := send(t, p, params(pairs...), strings.NewReader(sql))
	if r.status != http.StatusOK || r.err != nil {
		t.Fatalf("%s: %d %s %v", sql, r.status, r.body, r.err)
	}
	return strings.TrimSuffix(r.body, "\n")
}

// refused runs a statement that must fail with a code.
func refused(t *testing.T, p *enginetest.Proc, code string, sql string, pairs ...string) {
	t.Helper()
	r := send(t, p, params(pairs...), strings.NewReader(sql))
	if r.status == http.StatusOK || r.code() != code || !strings.HasPrefix(r.body, "Code: "+code+". DB::Exception: ") {
		t.Errorf("%s %v: %d, code %s: %.300s", sql, pairs, r.status, r.code(), r.body)
	}
}

var tables atomic.Int64

// table makes a table of a test's own.
func table(t *testing.T, p *enginetest.Proc, columns string) string {
	t.Helper()
	name := fmt.Sprintf("t%d", tables.Add(1))
	query(t, p, "CREATE TABLE "+name+" ("+columns+") ENGINE = MergeTree ORDER BY tuple()")
	t.Cleanup(func() { query(t, p, "DROP TABLE "+name+" SYNC") })
	return name
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	if !within(20*time.Second, done) {
		t.Fatal("nothing happened for 20 s")
	}
}

// within polls a condition.
func within(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
