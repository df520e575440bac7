package store

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// one is the answer to SELECT 1 AS one FORMAT Native.
const one = "\x01\x01\x03one\x05UInt8\x01"

func TestTLS(t *testing.T) {
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, one) }))
	defer h.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(tls TLS, reason string) {
		t.Helper()
		cfg := DefaultConfig()
		cfg.Addresses, cfg.TLS = []string{h.URL}, tls
		s, err := Open(context.Background(), cfg)
		if reason == "" && err != nil || reason != "" && (err == nil || !strings.Contains(err.Error(), reason)) {
			t.Errorf("want %q, got %v", reason, err)
		}
		if err == nil {
			s.Close()
		}
	}
	f(TLS{CAFile: ca}, "")
	f(TLS{}, "certificate")
	f(TLS{CAFile: "/nowhere"}, "read authorities")
	f(TLS{CAFile: os.DevNull}, "holds no certificate")
	f(TLS{CertFile: ca, KeyFile: ca}, "our certificate")
}

// TestInsertErrors: what each answer of a server means for an insert.
func TestInsertErrors(t *testing.T) {
	var status int
	var code, body string
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client shows what is missing
		if code != "" {
			w.Header().Set(exceptionHeader, code)
		}
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer h.Close()
	client := h.Client()
	client.CheckRedirect = noRedirect
	at := &session{server: serverAt(t, h.URL, client), id: "x"}
	sentinels := []error{ErrSessionLost, ErrUnknownOutcome, ErrRefused}
	f := func(answerStatus int, answerCode, answerBody string, want error) {
		t.Helper()
		status, code, body = answerStatus, answerCode, answerBody
		ctx := context.Background()
		err := at.insertError(ctx, at.server.insert(ctx, params{}, strings.NewReader("rows"), 4))
		for _, sentinel := range sentinels {
			if errors.Is(err, sentinel) != errors.Is(want, sentinel) {
				t.Errorf("status %d, code %q, %q: %v", status, code, body, err)
			}
		}
	}
	f(200, "", "", nil)
	f(404, "372", "Code: 372. DB::Exception: Session x not found. (SESSION_NOT_FOUND)", ErrSessionLost)
	f(500, "373", "Code: 373. DB::Exception: Session x is locked. (SESSION_IS_LOCKED)", ErrSessionLost)
	f(404, "60", "Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)", ErrRefused)
	f(500, "252", "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", ErrRefused)
	f(500, "243", "Code: 243. DB::Exception: Not enough space. (NOT_ENOUGH_SPACE)", ErrRefused)
	f(403, "497", "Code: 497. DB::Exception: Not enough privileges. (ACCESS_DENIED)", ErrRefused)
	f(500, "33", "Code: 33. DB::Exception: Cannot read all data. (CANNOT_READ_ALL_DATA)", ErrRefused)
	f(500, "159", "Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)", ErrUnknownOutcome)
	f(500, "241", "Code: 241. DB::Exception: Memory limit. (MEMORY_LIMIT_EXCEEDED)", ErrUnknownOutcome)
	f(500, "242", "Code: 242. DB::Exception: Table is in readonly mode. (TABLE_IS_READ_ONLY)", ErrUnknownOutcome)
	f(500, "319", "Code: 319. DB::Exception: Unknown status. (UNKNOWN_STATUS_OF_INSERT)", ErrUnknownOutcome)
	f(500, "999", "Code: 999. Coordination::Exception: Session expired. (KEEPER_EXCEPTION)", ErrUnknownOutcome)
	f(500, "75", "", ErrUnknownOutcome)
	// A status of success can carry an exception.
	f(200, "252", "Code: 252. DB::Exception: Too many parts. (TOO_MANY_PARTS)", ErrRefused)
	f(200, "", "Code: 241. DB::Exception: Memory limit. (MEMORY_LIMIT_EXCEEDED)", ErrUnknownOutcome)
	f(200, "", "something else", ErrUnknownOutcome)
	// What does not come from ClickHouse says nothing of it.
	f(502, "", "<html>bad gateway</html>", ErrUnknownOutcome)
	f(413, "", "too large", ErrUnknownOutcome)
	f(302, "", "", ErrUnknownOutcome)
	// A text that disagrees with the header is not believed.
	f(500, "241", "Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)", ErrUnknownOutcome)
}

func TestParseException(t *testing.T) {
	f := func(text string, code int, message string) {
		t.Helper()
		e := parseException([]byte(text))
		if e == nil && code != 0 || e != nil && (e.Code != code || e.Message != message) {
			t.Errorf("%q: %v", text, e)
		}
	}
	f("", 0, "")
	f("1\n2\n", 0, "")
	f("Code: 62. DB::Exception: Syntax error. (SYNTAX_ERROR) (version 26.7.2.1)\n", 62, "Syntax error. (SYNTAX_ERROR)")
	f("rows\r\n__exception__\r\ntag\r\nCode: 395. DB::Exception: late\n12 tag\r\n__exception__\r\n", 395, "late\n12 tag")
	f("Code: 999. Coordination::Exception: Session expired", 999, "Session expired")
	f("Code: 1. DB::NetException: "+strings.Repeat("é", 400), 1, strings.Repeat("é", maxMessageBytes/2))
	f("Code: 99999999999999999999. DB::Exception: x", 0, "")
}
