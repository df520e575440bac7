package reveal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// rig is a deployment, asked through a proxy that keeps what ClickHouse was asked.
type rig struct {
	t     *testing.T
	up    *uptest.Up
	deps  reveal.Deps
	asked *requests
}

func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	r := &rig{t: t, up: uptest.Start(t, "", append([]string{"--partitions", "1", "--quiet"}, args...)...), asked: &requests{}}
	engine, err := url.Parse(r.up.Endpoints(t).ClickHouse)
	if err != nil {
		t.Fatal(err)
	}
	r.asked.engine = httputil.NewSingleHostReverseProxy(engine)
	proxy := httptest.NewServer(r.asked)
	t.Cleanup(proxy.Close)
	cfg, err := config.Load(config.Sources{File: filepath.Join(r.up.Dir, process.ConfigFile)})
	if err != nil {
		t.Fatal(err)
	}
	cfg.ClickHouse.Addresses = []string{proxy.URL}
	systems, err := process.Open(t.Context(), cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := systems.Close(); err != nil {
			t.Error(err)
		}
	})
	r.deps = reveal.Deps{Store: systems.Store, Vault: systems.Vault}
	return r
}

// requests passes requests on and keeps them.
type requests struct {
	engine http.Handler

	mu  sync.Mutex
	all []string // address and body of each, unescaped
}

func (q *requests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	address, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q.mu.Lock()
	q.all = append(q.all, address+"\n"+string(body))
	q.mu.Unlock()
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	q.engine.ServeHTTP(w, r)
}

// told says whether text was in a request since forget.
func (q *requests) told(text string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.all, func(request string) bool { return strings.Contains(request, text) })
}

func (q *requests) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = nil
}

// person's events are sent to the deployment.
type person struct{ tenant, user, session string }

var (
	ada   = person{"acme", "ada@example.com", "session-of-ada"}
	bob   = person{"acme", "bob@example.com", "session-of-bob"}
	other = person{"globex", "ada@example.com", "session-of-ada"} // same names, another tenant
)

// seal sends one event of each and waits until they are stored.
func (r *rig) seal(people ...person) {
	r.t.Helper()
	var lines strings.Builder
	for i, p := range people {
		fmt.Fprintf(&lines, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"2026-11-20T21:14:%02dZ","type":"tool.call","action":"search",`+
			`"outcome":"success","tenant":%q,"user_id":%q,"session_id":%q,"content":{"input":"words of %s"}}`+"\n", i, i, p.tenant, p.user, p.session, p.session)
	}
	r.up.Good(r.t, lines.String(), "emit")
	testkit.Eventually(r.t, time.Minute, func() bool {
		found, err := reveal.Find(r.t.Context(), r.deps, reveal.Question{Limit: 100, Type: "tool.call"})
		return err == nil && len(found) == len(people)
	}, "the events are stored")
	r.asked.forget()
}

// exec runs a statement as somebody who owns the database.
func (r *rig) exec(statement string) {
	r.t.Helper()
	e := r.up.Endpoints(r.t)
	server := testkit.ClickHouseServer{URL: e.ClickHouse, User: e.ClickHouseUser, Password: e.ClickHousePassword}
	if err := server.Exec(r.t.Context(), statement); err != nil {
		r.t.Fatal(err)
	}
}

// ask returns whose events answer the question.
func (r *rig) ask(q reveal.Question) ([]person, []reveal.Event, error) {
	r.asked.forget()
	q.Limit, q.Type = 100, "tool.call"
	found, err := reveal.Find(r.t.Context(), r.deps, q)
	var people []person
	for _, e := range found {
		var content struct {
			SessionID string `json:"session_id"`
		}
		if e.Content != nil {
			if err := json.Unmarshal(e.Content, &content); err != nil {
				r.t.Error(err)
			}
		}
		people = append(people, person{e.Tenant, e.User, content.SessionID})
	}
	return people, found, err
}

func TestFind(t *testing.T) {
	r := newRig(t)
	r.seal(ada, bob, other)
	f := func(name string, q reveal.Question, wantErr error, want ...person) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			t.Helper()
			q.WithContent = true
			got, _, err := r.ask(q)
			if !errors.Is(err, wantErr) || !slices.Equal(got, want) {
				t.Errorf("%+v, %v; want %+v, %v", got, err, want, wantErr)
			}
			// ClickHouse and whatever stands before it write down what they are asked.
			for _, p := range []person{ada, bob} {
				if r.asked.told(p.user) || r.asked.told(p.session) {
					t.Error("ClickHouse was told a name of a person")
				}
			}
		})
	}
	const subject, search, sealed = "subject", "search", "sealed"
	f("all", reveal.Question{SessionPolicy: subject}, nil, ada, bob, other)
	f("a tenant's", reveal.Question{Tenant: "acme", SessionPolicy: subject}, nil, ada, bob)
	f("a user's, in each tenant", reveal.Question{User: ada.user, SessionPolicy: subject}, nil, ada, other)
	f("a user's, in one tenant", reveal.Question{User: ada.user, Tenant: "globex", SessionPolicy: subject}, nil, other)
	f("nobody's", reveal.Question{User: "eve@example.com", SessionPolicy: subject}, reveal.ErrNobody)
	f("a session", reveal.Question{User: ada.user, Session: ada.session, SessionPolicy: subject}, nil, ada, other)
	f("a session of somebody else", reveal.Question{User: bob.user, Session: ada.session, SessionPolicy: subject}, nil)
	f("a session of nobody", reveal.Question{Session: ada.session, SessionPolicy: subject}, reveal.ErrSessionNeedsUser)
	f("a session that is sealed", reveal.Question{User: ada.user, Session: ada.session, SessionPolicy: sealed}, reveal.ErrSessionSealed)
	f("a session that other entries have as a token of the deployment", reveal.Question{User: ada.user, Session: ada.session, SessionPolicy: search}, nil, ada, other)
	f("a session by the deployment's token, without a user", reveal.Question{Session: ada.session, SessionPolicy: search}, nil)
}

// TestContent: what is gone or was changed does not keep the others from being read.
func TestContent(t *testing.T) {
	r := newRig(t)
	r.seal(ada, bob, other)
	f := func(name string, want ...string) {
		t.Helper()
		_, found, err := r.ask(reveal.Question{WithContent: true})
		var states []string
		for _, e := range found {
			states = append(states, e.ContentState)
			if (e.ContentState == reveal.ContentOpened) != (e.Content != nil) {
				t.Errorf("%s: %s, with content %s", name, e.ContentState, e.Content)
			}
		}
		if err != nil || !slices.Equal(states, want) {
			t.Errorf("%s: %q, %v; want %q", name, states, err, want)
		}
	}
	f("as it was sealed", reveal.ContentOpened, reveal.ContentOpened, reveal.ContentOpened)
	if _, found, err := r.ask(reveal.Question{}); err != nil || found[0].Content != nil || found[0].ContentState != "" {
		t.Errorf("content that was not asked for: %+v, %v", found, err)
	}

	r.exec("ALTER TABLE audit.events UPDATE content = concat(substring(content, 1, length(content) - 1), char(bitXor(reinterpretAsUInt8(substring(content, length(content))), 1))) " +
		"WHERE event_id = '01920000-0000-7000-8000-000000000001' SETTINGS mutations_sync = 2")
	f("a bit changed", reveal.ContentOpened, reveal.ContentDamaged, reveal.ContentOpened)

	subject, found, err := r.deps.Vault.Find(t.Context(), vault.Identity{Tenant: ada.tenant, User: ada.user})
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if err := r.deps.Vault.Destroy(t.Context(), subject.ID); err != nil {
		t.Fatal(err)
	}
	f("a person destroyed", reveal.ContentDestroyed, reveal.ContentDamaged, reveal.ContentOpened)
	people, events, err := r.ask(reveal.Question{Tenant: "acme"})
	if err != nil || len(people) != 2 || people[0].user != "" || events[0].Subject != subject.ID.String() {
		t.Errorf("the destroyed person's events: %+v, %v", people, err)
	}
	if _, _, err := r.ask(reveal.Question{Tenant: "acme", User: ada.user}); !errors.Is(err, reveal.ErrNobody) {
		t.Errorf("asked by the destroyed person's name: %v", err)
	}
}

// TestSessionsInTheClear: where entries have session ids as they came, they are searched for like that, without a user.
func TestSessionsInTheClear(t *testing.T) {
	r := newRig(t, "--set", "ingest.fields.session_id=clear")
	r.seal(ada, bob, other)
	got, _, err := r.ask(reveal.Question{Session: ada.session, SessionPolicy: "clear"})
	if err != nil || len(got) != 2 || got[0].tenant != "acme" || got[1].tenant != "globex" {
		t.Errorf("%+v, %v", got, err)
	}
	// Under another policy ClickHouse is not told the id, though these entries have it.
	if got, _, err := r.ask(reveal.Question{User: ada.user, Session: ada.session, SessionPolicy: "subject"}); err != nil || len(got) > 0 || r.asked.told(ada.session) {
		t.Errorf("%+v, %v", got, err)
	}
}
