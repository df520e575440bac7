package api

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Keys that do not count, and those that are no keys.
func TestKeysThatDoNotCount(t *testing.T) {
	r := newRig(t)
	r.open()
	expired, soonRevoked := r.newKey(apikey.Admin, "", time.Now().Add(-time.Second)), r.newKey(apikey.Admin, "", time.Now().Add(time.Hour))
	const path = "/v1/gdpr/discovery"
	r.want(401, expired, "GET", path, "")
	r.want(200, soonRevoked, "GET", path, "")
	if revoked, err := privacy.RevokeAPIKey(t.Context(), r.Vault, r.idOf(soonRevoked)); err != nil || !revoked {
		t.Fatal(revoked, err)
	}
	r.want(401, soonRevoked, "GET", path, "")
	for _, key := range []string{apikey.New().Reveal(), "aak_", "x", strings.Repeat("a", 5000), soonRevoked + "0"} {
		r.want(401, key, "GET", path, "")
	}
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic " + r.keys["admin"], r.keys["admin"], "Bearer  " + r.keys["admin"]} {
		request, err := http.NewRequestWithContext(t.Context(), "GET", r.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", header)
		response, err := r.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 401 {
			t.Errorf("%.10q: %d", header, response.StatusCode)
		}
	}
	// Whoever tries keys is sent away before the vault is asked, and those who have one are answered.
	r.want(200, "admin", "GET", path, "")
	limited := 0
	for range perAddressAtOnce + 50 {
		if r.ask(apikey.New().Reveal(), "GET", path, "").status == 429 {
			limited++
		}
	}
	if limited == 0 {
		t.Error("any number of keys may be tried")
	}
	r.want(200, "admin", "GET", path, "")
	if n := testutil.ToFloat64(r.server.metrics.failed.WithLabelValues("limited")); int(n) != limited {
		t.Errorf("the metric says %v, want %d", n, limited)
	}
	if n := testutil.ToFloat64(r.server.metrics.failed.WithLabelValues("unknown")); n < perAddressAtOnce-10 {
		t.Errorf("the metric says %v", n)
	}
}

func TestHostileRequests(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BodyWithin = 300 * time.Millisecond })
	r.open()
	const requests = "/v1/gdpr/requests"
	form := func(more string) string { return formOf(uuid.NewString(), "erasure", "mia", `,"tenant":"acme"`+more) }
	f := func(status int, method, path, body string) {
		t.Helper()
		r.want(status, "admin", method, path, body)
	}
	f(413, "POST", requests, form(`,"extensions":{"x":"`+strings.Repeat("x", gdpr.MaxFormBytes)+`"}`))
	f(413, "POST", "/v1/events", `{"user":"`+strings.Repeat("x", maxQuestionBytes)+`"}`)
	for _, body := range []string{"", "{}", "[]", "null", "{", form(`,"tenant":"twice"`), form(`,"what":1`), form(`,"status_callback_urls":["https://x.example"]`), "\xff", form("") + "x"} {
		f(400, "POST", requests, body)
	}
	for _, body := range []string{"", "[]", "{", `{"user":1}`, `{"user":"a","user":"b"}`, `{"users":"a"}`, `{"limit":-1}`, `{"limit":1001}`, `{"limit":51,"content":true}`, `{"since":"yesterday"}`,
		`{"until":"2026"}`, `{"subject":"x"}`, `{"user":"a\u0000b"}`, `{"tenant":"a\u0000b"}`} {
		f(400, "POST", "/v1/events", body)
	}
	for _, query := range []string{"usr=x", "user=a&user=b", "limit=0", "limit=x", "limit=1e3", "content=maybe", "%zz", "a;b"} {
		f(400, "GET", "/v1/events?"+query, "")
	}
	for _, body := range []string{"", "[]", `{"tenant":"acme","purpose":"a.b"}`, `{"tenant":"acme","user":"mia"}`, `{"tenant":"acme","user":"mia","purpose":"A B"}`, `{"tenant":"a\u0000","user":"mia","purpose":"a.b"}`} {
		f(400, "POST", "/v1/consents/check", body)
	}
	f(400, "POST", "/v1/events?user=a", "{}")
	f(400, "GET", requests+"?status=open", "")
	f(400, "GET", "/v1/proofs/x", "")
	f(404, "GET", requests+"/x", "")
	f(404, "GET", requests+"/"+strings.Repeat("x", 3000), "")
	f(404, "GET", "/v1/", "")
	f(404, "GET", "/v1/gdpr/requests/x/export/y", "")
	made := decode[requestBody](t, r.want(201, "admin", "POST", requests, form("")))
	for _, body := range []string{"", "{}", `{"verified_by":""}`, `{"verified_by":"a\nb"}`, `{"verified_by":"` + strings.Repeat("x", 257) + `"}`, `{"by":"me"}`} {
		f(400, "POST", requests+"/"+made.RequestID+"/verify", body)
	}
	request, err := http.NewRequestWithContext(t.Context(), "POST", r.url+requests, strings.NewReader(form("")))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+r.keys["admin"])
	request.Header.Set("Content-Type", "text/plain")
	response, err := r.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 415 {
		t.Errorf("text/plain: %d", response.StatusCode)
	}
	// Who sends a body slowly is cut off, with a key or without one.
	for _, key := range []string{r.keys["admin"], apikey.New().Reveal()} {
		var dial net.Dialer
		conn, err := dial.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := conn.SetDeadline(began.Add(soon)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n{", requests, key); err != nil {
			t.Fatal(err)
		}
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(answer, " 4") {
			t.Errorf("a slow client was told %q, %v", answer, err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil || time.Since(began) > 20*time.Second {
			t.Errorf("a slow client kept its connection for %v: %v", time.Since(began), err)
		}
		conn.Close()
	}
	// What was refused was not stored.
	if list, err := r.Vault.Requests(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d requests, %v", len(list), err)
	}
}

// What cannot be noted is not shown, and nothing is changed: the vault reads, and cannot write; then it is gone.
func TestNothingIsShownUnnoted(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AnswerWithin = time.Second })
	r.StartIngest()
	r.StartExporter()
	event := r.produce("acme", "mia")
	r.awaitSealed()
	asked := []struct{ method, path, body string }{
		{"GET", "/v1/events", ""}, {"POST", "/v1/events", `{"user":"mia","tenant":"acme","content":true}`}, {"GET", "/v1/proofs/" + event, ""},
		{"GET", "/v1/gdpr/requests", ""}, {"POST", "/v1/gdpr/requests", formOf(uuid.NewString(), "erasure", "mia", `,"tenant":"acme","verified_by":"me"`)},
	}
	none := func(why string) {
		t.Helper()
		for _, a := range asked {
			got := r.want(503, "admin", a.method, a.path, a.body)
			if strings.Contains(got.body, "mia") || strings.Contains(got.body, event) || strings.Contains(got.body, r.VaultAt.DSN) || got.header.Get("Retry-After") == "" {
				t.Errorf("%s: %s %s shows %s", why, a.method, a.path, got.body)
			}
		}
	}
	none("not open")
	r.open()
	r.want(200, "admin", "GET", "/v1/events", "")

	other, err := sql.Open("sqlite", r.VaultAt.DSN)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(t.Context(), "PRAGMA busy_timeout=60000; BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	none("locked")
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if list, err := r.Vault.Requests(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("stored unnoted: %v, %v", list, err)
	}
	testkit.Eventually(t, soon, func() bool { return r.ask("admin", "GET", "/v1/events", "").status == 200 }, "it answers again")

	// The note is there when the answer is: nobody says it here, so it waits in the outbox.
	unsaid := func() int {
		t.Helper()
		var n int
		if err := conn.QueryRowContext(context.Background(), `SELECT count(*) FROM outbox WHERE record LIKE '%audit.read%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := unsaid()
	r.want(200, "admin", "GET", "/v1/proofs/"+event, "")
	if now := unsaid(); now != before+1 {
		t.Errorf("%d notes, then %d", before, now)
	}
	if err := os.Rename(r.VaultAt.DSN, r.VaultAt.DSN+".away"); err != nil {
		t.Fatal(err)
	}
	none("gone")
	if err := os.Rename(r.VaultAt.DSN+".away", r.VaultAt.DSN); err != nil {
		t.Fatal(err)
	}
	r.want(200, "admin", "GET", "/v1/events", "")
}

// Only so many are answered at a time; who comes then is sent away at once, and answered once there is room.
func TestManyAtATime(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxInFlight, c.BodyWithin = 1, soon })
	r.open()
	var dial net.Dialer
	begin := func() net.Conn { // a request whose body does not end
		t.Helper()
		conn, err := dial.DialContext(t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\n{", r.keys["admin"]); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	conn := begin()
	defer func() { conn.Close() }()
	testkit.Eventually(t, soon, func() bool {
		got := r.ask("admin", "GET", "/v1/gdpr/discovery", "")
		if got.status == 503 && got.header.Get("Retry-After") != "" {
			return true
		}
		// It was not there yet, or our own question was and it was sent away itself.
		conn.Close()
		conn = begin()
		return false
	}, "there is no room")
	conn.Close()
	testkit.Eventually(t, soon, func() bool { return r.ask("admin", "GET", "/v1/gdpr/discovery", "").status == 200 }, "there is room again")
}
