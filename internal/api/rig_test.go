package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const soon = time.Minute

// rig is a deployment with a real server on loopback.
type rig struct {
	*deployment.Deployment
	t       *testing.T
	server  *Server
	url     string
	metrics *prometheus.Registry
	client  *http.Client
	keys    map[string]string // by role, and role@tenant
	exports string            // folder
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{Deployment: deployment.New(t), t: t, metrics: prometheus.NewRegistry(), keys: map[string]string{}, client: &http.Client{Timeout: soon}}
	cfg := DefaultConfig()
	r.exports = t.TempDir()
	cfg.ExportDir = r.exports
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if r.server, err = New(cfg, Deps{Store: r.Store, Vault: r.Vault, Metrics: r.metrics, Log: r.Log}); err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(r.server.Handler())
	t.Cleanup(served.Close)
	t.Cleanup(r.client.CloseIdleConnections)
	r.url = served.URL
	for _, role := range apikey.Roles() {
		r.keys[string(role)] = r.newKey(role, "", time.Time{})
		r.keys[string(role)+"@acme"] = r.newKey(role, "acme", time.Time{})
	}
	return r
}

func (r *rig) newKey(role apikey.Role, tenant string, expires time.Time) string {
	r.t.Helper()
	record, key, err := apikey.NewRecord(role, tenant, "", time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	record.Expires = expires
	if added, err := privacy.AddAPIKey(context.Background(), r.Vault, record); err != nil || !added {
		r.t.Fatal(added, err)
	}
	return key.Reveal()
}

func (r *rig) idOf(key string) [16]byte {
	r.t.Helper()
	parsed, err := apikey.Parse(key)
	if err != nil {
		r.t.Fatal(err)
	}
	found, err := r.Vault.APIKey(context.Background(), parsed.Hash(), time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return found.ID
}

// open has the server answer.
func (r *rig) open() {
	r.t.Helper()
	r.Run(r.server.Run)
	testkit.Eventually(r.t, soon, r.server.open.Load, "the server is open")
}

func (r *rig) startWorker() {
	cfg := privacy.DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic, cfg.ExportDir = r.Ingest.EventsTopic, r.Ingest.SystemTopic, r.exports
	r.Run(privacy.New(cfg, privacy.Deps{Kafka: r.Kafka, Store: r.Store, Vault: r.Vault, Author: r.Author, Keys: r.Keys, Log: r.Log}).Run)
}

// reply is what a client has got.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask asks with a key of rig.keys, or the key itself.
func (r *rig) ask(key, method, path, body string) reply {
	r.t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if known, ok := r.keys[key]; ok {
		key = known
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	got := reply{response.StatusCode, response.Header, string(text)}
	if got.status >= 400 && got.header.Get("Content-Type") != "application/problem+json" {
		r.t.Errorf("%s %s: %d is no problem, but %s: %s", method, path, got.status, got.header.Get("Content-Type"), got.body)
	}
	return got
}

func (r *rig) want(status int, key, method, path, body string) reply {
	r.t.Helper()
	got := r.ask(key, method, path, body)
	if got.status != status {
		r.t.Errorf("%s %s %s: %d, want %d: %s", key, method, path, got.status, status, got.body)
	}
	return got
}

func decode[T any](t *testing.T, from reply) (to T) {
	t.Helper()
	if err := json.Unmarshal([]byte(from.body), &to); err != nil {
		t.Fatalf("%v: %s", err, from.body)
	}
	return to
}

// produce sends an event of a user, and returns its id.
func (r *rig) produce(tenant, user string) string {
	r.t.Helper()
	id := uuid.NewString()
	event := fmt.Sprintf(`{"schema":"agentaudit.event/v1","event_id":"%s","time":"%s","type":"tool.call","action":"call","outcome":"success","tenant":"%s","user_id":"%s","content":{"input":"a private matter"}}`,
		id, time.Now().UTC().Format(time.RFC3339Nano), tenant, user)
	if err := r.Kafka.Produce(context.Background(), r.Ingest.EventsTopic, []kafkaio.Message{{Value: []byte(event)}}); err != nil {
		r.t.Fatal(err)
	}
	return id
}

// awaitSealed waits until all events are sealed and signed.
func (r *rig) awaitSealed() {
	r.t.Helper()
	log := chain.LogName(r.Ingest.EventsTopic, 0, 0)
	testkit.Eventually(r.t, soon, func() bool {
		_, end, err := r.Kafka.Offsets(context.Background(), r.Ingest.EventsTopic, 0)
		if err != nil {
			return false
		}
		head, err := r.Store.Head(context.Background(), log)
		if err != nil || head.Next < end {
			return false
		}
		point, _, err := r.Vault.Checkpoint(context.Background(), log)
		return err == nil && point.Size >= head.Size
	}, "all events are sealed and signed")
}

// said returns the entries of a type that name a key.
func (r *rig) said(recordType string, key [16]byte) (entries []string) {
	r.t.Helper()
	found, err := r.Store.FindEvents(context.Background(), store.Filter{Type: recordType, Limit: 10_000, WithoutContent: true})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range found {
		if bytes.Contains(f.Entry, []byte(uuid.UUID(key).String())) {
			entries = append(entries, string(f.Entry))
		}
	}
	return entries
}

func formOf(id, kind, user, more string) string {
	return fmt.Sprintf(`{"regulation":"gdpr","subject_request_id":"%s","subject_request_type":"%s","submitted_time":"%s","subject_identities":[{"identity_type":"controller_customer_id","identity_value":"%s","identity_format":"raw"}]%s}`,
		id, kind, time.Now().UTC().Format(time.RFC3339), user, more)
}

func (r *rig) find(tenant, user string) (vault.Subject, bool) {
	r.t.Helper()
	subject, found, err := r.Vault.Find(context.Background(), vault.Identity{Tenant: tenant, User: user})
	if err != nil {
		r.t.Fatal(err)
	}
	return subject, found
}
