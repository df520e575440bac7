package cli_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/cli"
)

// run returns the exit code and everything that was printed.
func run(environ []string, args ...string) (int, string) {
	var out bytes.Buffer
	code := cli.Main(args, environ, strings.NewReader(""), &out, &out)
	return code, out.String()
}

func TestHealthcheck(t *testing.T) {
	status := func(code int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body)) // a caller that has gone fails the test by itself
		}))
		t.Cleanup(server.Close)
		return server.URL + "/readyz"
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	f := func(address string, wantCode int, wantText string) {
		t.Helper()
		code, out := run(nil, "healthcheck", address)
		if code != wantCode || !strings.Contains(out, wantText) {
			t.Errorf("healthcheck %s: exit code %d, want %d; printed %q, want %q", address, code, wantCode, out, wantText)
		}
	}
	f(status(http.StatusOK, `{"ready":true,"failing":[]}`), 0, "ready")
	f(status(http.StatusServiceUnavailable, `{"ready":false,"failing":["vault","partitions"]}`), 1, "not ready: vault, partitions")
	f(status(http.StatusNotFound, "404 page not found"), 1, "404")
	f(gone.URL, 1, "refused")
	f("127.0.0.1:9101", 2, "http://host:port/readyz")
	f("ftp://127.0.0.1/readyz", 2, "http://host:port/readyz")
}

// Setup may be run any number of times: what it made is never replaced. Kafka and ClickHouse are not there, so it fails
// after the keys.
func TestSetupMakesMissingKeysOnly(t *testing.T) {
	dir := t.TempDir()
	environ := []string{
		"AGENTAUDIT_KEYS__SOURCE=file:" + filepath.Join(dir, "keyring"),
		"AGENTAUDIT_EXPORTER__AUTHOR_KEY_FILE=" + filepath.Join(dir, "exporter.key"),
		"AGENTAUDIT_DETECTOR__AUTHOR_KEY_FILE=" + filepath.Join(dir, "detector.key"),
		"AGENTAUDIT_EXPORTER__SIGNING_KEYS=" + filepath.Join(dir, "checkpoint-keys"),
		"AGENTAUDIT_VAULT__PATH=" + filepath.Join(dir, "vault.db"),
		"AGENTAUDIT_CLICKHOUSE__ADDRESSES=http://127.0.0.1:1",
		"AGENTAUDIT_KAFKA__BROKERS=127.0.0.1:1",
	}
	if _, out := run(environ, "setup"); strings.Contains(out, "made ") {
		t.Errorf("keys are made unasked: %q", out)
	}
	if _, out := run(environ, "setup", "--create-keys"); strings.Count(out, "made ") != 4 {
		t.Errorf("the first time it prints %q", out)
	}
	if _, out := run(environ, "setup", "--create-keys"); strings.Contains(out, "made ") {
		t.Errorf("the second time it prints %q", out)
	}
}
