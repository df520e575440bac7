package telemetry

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve answers one request without a network.
func serve(s *Server, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func newServer(log io.Writer, handler http.Handler, checks ...Check) *Server {
	return NewServer(ServerConfig{Address: "127.0.0.1:0"}, ServerDeps{
		Log: slog.New(slog.NewTextHandler(log, nil)), Metrics: NewRegistry(), Checks: checks, Handler: handler,
	})
}

func TestReadiness(t *testing.T) {
	var kafka error
	var log bytes.Buffer
	s := newServer(&log, nil,
		Check{"kafka", func(context.Context) error { return kafka }},
		Check{"vault", func(context.Context) error { return nil }},
	)
	f := func(status int, failing ...string) {
		t.Helper()
		w := serve(s, "/readyz")
		var body Readiness
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Code != status || body.Ready != (status == http.StatusOK) || strings.Join(body.Failing, " ") != strings.Join(failing, " ") {
			t.Errorf("%d %s; want %d and %v", w.Code, w.Body, status, failing)
		}
	}
	f(http.StatusOK)
	kafka = errors.New("dial 10.0.0.7: refused")
	f(http.StatusServiceUnavailable, "kafka")
	f(http.StatusServiceUnavailable, "kafka")
	if strings.Contains(serve(s, "/readyz").Body.String(), "10.0.0.7") {
		t.Error("the reason is told to everybody")
	}
	if got := strings.Count(log.String(), "10.0.0.7"); got != 1 {
		t.Errorf("the reason is logged %d times, not once:\n%s", got, log.String())
	}
	kafka = nil
	f(http.StatusOK)
	if !strings.Contains(log.String(), "msg=ready") {
		t.Errorf("nothing says that it is ready again:\n%s", log.String())
	}
}

// A check that hangs makes the process unready instead of mute.
func TestHangingCheck(t *testing.T) {
	s := newServer(io.Discard, nil, Check{"vault", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	if w := serve(s, "/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "vault") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOtherPaths(t *testing.T) {
	s := newServer(io.Discard, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "own "+r.URL.Path) }))
	for path, want := range map[string]string{
		"/healthz": `{"ok":true}`, "/metrics": "agentaudit_build_info{", "/v1/events": "own /v1/events",
	} {
		if w := serve(s, path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, no %q", path, w.Code, want)
		}
	}
	if w := serve(newServer(io.Discard, nil), "/v1/events"); w.Code != http.StatusNotFound {
		t.Errorf("without a handler: %d", w.Code)
	}
	if metrics := serve(s, "/metrics").Body.String(); !strings.Contains(metrics, "go_goroutines") || !strings.Contains(metrics, "process_cpu_seconds_total") {
		t.Error("metrics of the runtime or of the process are missing")
	}
}

// run starts the server on a free address and returns it.
func run(t *testing.T, cfg ServerConfig) (address string, stop func() error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Address = listener.Addr().String()
	listener.Close()
	s := NewServer(cfg, ServerDeps{Log: slog.New(slog.DiscardHandler), Metrics: NewRegistry()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }() // ends by stop
	for range 200 {
		conn, err := net.Dial("tcp", cfg.Address)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	return cfg.Address, func() error {
		cancel()
		return <-ended
	}
}

func TestRunEndsCleanly(t *testing.T) {
	address, stop := run(t, ServerConfig{})
	response, err := http.Get("http://" + address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestAddressInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	s := NewServer(ServerConfig{Address: listener.Addr().String()}, ServerDeps{Log: slog.New(slog.DiscardHandler), Metrics: NewRegistry()})
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), listener.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

// A renewed certificate is used without a restart, and a broken renewal leaves the old one in use.
func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cfg := ServerConfig{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	renew := func(serial int64, at time.Time) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for path, block := range map[string]*pem.Block{cfg.CertFile: {Type: "CERTIFICATE", Bytes: der}, cfg.KeyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
			if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(cfg.CertFile, at, at); err != nil {
			t.Fatal(err)
		}
	}
	renew(1, time.Now().Add(-time.Hour))
	address, stop := run(t, cfg)
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("certificate %d", got)
	}
	renew(2, time.Now().Add(-time.Minute))
	if got := serial(); got != 2 {
		t.Errorf("after the renewal: certificate %d", got)
	}
	if err := os.WriteFile(cfg.CertFile, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 2 {
		t.Errorf("after a broken renewal: certificate %d", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestControlGroupLimit(t *testing.T) {
	f := func(want int64, files map[string]string) {
		t.Helper()
		root := fstest.MapFS{}
		for name, text := range files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := controlGroupLimit(root); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	f(0, nil)
	f(0, map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"})
	f(512<<20, map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"})
	f(100, map[string]string{
		"proc/self/cgroup":             "0::/a/b\n",
		"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "100\n", "sys/fs/cgroup/memory.max": "200\n",
	})
	f(300, map[string]string{
		"proc/self/cgroup": "11:cpu:/x\n7:memory:/x\n0::/\n",
		"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "300\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
	})
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := NewLogger(LogConfig{Level: "warn", Format: "json"}, "ingest", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("not shown")
	log.Warn("shown")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["process"] != "ingest" || line["msg"] != "shown" {
		t.Errorf("%s, %v", out.String(), err)
	}
	for _, cfg := range []LogConfig{{"loud", "json"}, {"info", "xml"}} {
		if _, err := NewLogger(cfg, "x", io.Discard); err == nil {
			t.Errorf("%v was accepted", cfg)
		}
	}
}
