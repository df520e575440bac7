package privacy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/reveal"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func exportOf(user string) Submission {
	return Submission{Kind: gdpr.RequestExport, Who: vault.Identity{Tenant: "acme", User: user}, VerifiedBy: "test"}
}

// An archive has every event of the person, whatever they did or was done with their data, and none of anybody else's.
func TestExport(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		users := []string{"mia;=HYPERLINK(1)", "noah-xyzzy", "=ada; +plugh", "zoë", "@last"}
		inputs := []any{
			"hello", nil, "=1+1;=2+2\t=3\r\n=4", map[string]any{"a": []any{1, nil, "x\u0000y\u2028z"}, "=b;": `"quoted", 'so'; </script>`}, strings.Repeat("ä☃𝄞 ", 5000),
		}
		random := rand.New(rand.NewPCG(1, 2))
		var all []sent
		for range 400 { // beyond one tile
			e := sent{user: users[random.IntN(len(users))], input: inputs[random.IntN(len(inputs))]}
			for range random.IntN(3) {
				if other := users[random.IntN(len(users))]; other != e.user && !slices.Contains(e.others, other) {
					e.others = append(e.others, other)
				}
			}
			all = append(all, r.send(e))
		}
		r.awaitSealed()
		r.start()
		for i, user := range users[:2] {
			purpose := []string{"ads", "news"}[i]
			if _, _, _, err := ChangeConsent(t.Context(), r.Vault, ConsentChange{
				Who: vault.Identity{Tenant: "acme", User: user}, Purpose: purpose, State: gdpr.ConsentGranted, Reference: "form 12",
			}); err != nil {
				t.Fatal(err)
			}
		}
		for _, user := range users {
			request := r.wantCompleted(r.submit(exportOf(user)))
			text, err := r.read(request)
			if err != nil {
				t.Fatal(err)
			}
			files, events := checkArchive(t, text)
			var consents []gdpr.Consent
			if err := json.Unmarshal(files["consents.json"], &consents); err != nil {
				t.Error(err)
			}
			switch at := slices.Index(users, user); {
			case at < 2 && (len(consents) != 1 || consents[0].Purpose != []string{"ads", "news"}[at] || consents[0].History[0].Reference != "form 12"):
				t.Errorf("consents of %q: %+v", user, consents)
			case at >= 2 && len(consents) != 0:
				t.Errorf("consents of %q, who said nothing: %+v", user, consents)
			}
			want := map[string]sent{}
			for _, e := range all {
				if e.user == user || slices.Contains(e.others, user) {
					want[e.id] = e
				}
			}
			for _, e := range events {
				w, ok := want[e.EventID]
				if !ok || (e.User != "") != (w.user == user) || e.User != "" && e.User != user || e.ContentState != reveal.ContentOpened {
					t.Errorf("%q gets %+v", user, e)
				}
				var content struct {
					Input json.RawMessage `json:"input"`
				}
				if err := json.Unmarshal(e.Content, &content); err != nil || !sameJSON(w.input, content.Input) {
					t.Errorf("the content of %s is %.100s, %v", e.EventID, e.Content, err)
				}
				delete(want, e.EventID)
			}
			if len(want) > 0 {
				t.Errorf("%q lacks %d events", user, len(want))
			}
			if result, err := ResultOfExport(&request); err != nil || result.Events != uint64(len(events)) || result.Files != len(files) || result.ForRecipient {
				t.Errorf("result %+v, %v", result, err)
			}
			// Nobody else's name. (A session's id, which our producer makes of the name, is in the content of the user's own events.)
			for name, content := range files {
				for _, other := range []string{"xyzzy", "plugh"} {
					if !strings.Contains(user, other) && bytes.Contains(bytes.ReplaceAll(content, []byte("s-noah-"), nil), []byte(other)) && name != "events.csv" && name != "events.jsonl" {
						t.Errorf("%q gets a name of another person in %s", user, name)
					}
				}
			}
			if !bytes.Contains(files["README.txt"], []byte("agentaudit verify-proof proofs/"+events[0].Log+".tlog-proof --key "+strings.Fields(string(files["keys.txt"]))[0]+"\n")) {
				t.Error("the README does not say how it is checked")
			}
		}
		if names := r.filesIn(); len(names) != len(users) {
			t.Errorf("there is %v", names)
		}
		for _, name := range r.filesIn() {
			content, err := os.ReadFile(filepath.Join(r.exportDir, name))
			if err != nil || bytes.Contains(content, []byte("PK\x03\x04")) || !bytes.HasPrefix(content, []byte("age-encryption.org/v1\n")) {
				t.Errorf("%s is not encrypted: %v", name, err)
			}
		}
		testkit.Eventually(t, soon, func() bool {
			steps, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeRequest, Limit: 1000})
			return err == nil && len(steps) == 3*len(users)
		}, "each request's three steps in the log")
		if ended := r.awaitEnd(r.submit(exportOf("nobody"))); ended.State != gdpr.StateRefused || ended.Reason != "nobody of that name is known" {
			t.Errorf("an unknown person: %s, %s", ended.State, ended.Reason)
		}
		if _, found := r.find("nobody"); found {
			t.Error("somebody was created by being asked about")
		}
	})
}

func TestSameExportAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.produce("mia", "")
		r.produce("noah", "")
		r.awaitSealed()
		for range 3 { // workers
			r.Run(r.newWorker().Run)
		}
		s := exportOf("mia")
		s.Caller = "crm-4711"
		var group sync.WaitGroup
		ids := make([][16]byte, 5)
		for i := range ids {
			group.Go(func() {
				request, _, err := Submit(context.Background(), r.Vault, s)
				if err != nil {
					t.Error(err)
				}
				ids[i] = request.ID
			})
		}
		group.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatal("one request became several")
			}
		}
		other := exportOf("noah")
		other.Caller = s.Caller
		if _, _, err := Submit(t.Context(), r.Vault, other); !errors.Is(err, ErrOtherRequest) {
			t.Errorf("another person's archive by the same id: %v", err)
		}
		request := r.wantCompleted(vault.Request{ID: ids[0]})
		if _, _, err := Submit(t.Context(), r.Vault, other); !errors.Is(err, ErrOtherRequest) {
			t.Errorf("another person's archive by the same id, later: %v", err)
		}
		if again, added, err := Submit(t.Context(), r.Vault, s); err != nil || added || again.ID != request.ID {
			t.Errorf("the same request later: %v, %v", added, err)
		}
		if names := r.filesIn(); len(names) != 1 {
			t.Errorf("there is %v", names)
		}
	})
}

// An erasure that comes while the archive is made ends that, whatever it is at, and leaves nothing.
func TestErasedDuringExport(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for i, step := range []string{stepBegun, stepAttempt, stepPart, stepWritten, stepNamed} {
			t.Run(strings.ReplaceAll(step, " ", "_"), func(t *testing.T) {
				r := r.in(t)
				user := fmt.Sprintf("user-%d", i)
				r.produce(user, "")
				r.awaitSealed()
				subject, _ := r.find(user)
				w := r.newWorker()
				w.passed = func(passed string) {
					if passed != step {
						return
					}
					if _, found, err := r.Vault.Erase(context.Background(), vault.Erasure{Request: [16]byte{byte(i)}, Subject: subject.ID, At: time.Now()}); err != nil || !found {
						t.Errorf("erase: %v, %v", found, err)
					}
				}
				request := r.submit(exportOf(user))
				stop := r.Run(w.Run)
				ended := r.awaitEnd(request)
				stop()
				if ended.State != gdpr.StateRefused || ended.Reason != "the person was erased meanwhile" {
					t.Errorf("%s: %s", ended.State, ended.Reason)
				}
				if names := r.filesIn(); len(names) != 0 {
					t.Errorf("there is %v", names)
				}
				if _, err := r.read(request); !errors.Is(err, ErrNoExport) {
					t.Errorf("there is an archive: %v", err)
				}
				if list, err := r.Vault.Exports(t.Context()); err != nil || len(list) != 0 {
					t.Errorf("%+v, %v", list, err)
				}
			})
		}
	})
}

// Content that nobody can read any more is said to be that; what cannot be proved is not handed out.
func TestExportSaysWhatIsGone(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "noah")
	r.produce("mia", "")
	r.awaitSealed()
	r.start()
	if ended := r.awaitEnd(r.submit(erasureOf("noah"))); ended.State != gdpr.StateCompleted {
		t.Fatal(ended.Reason)
	}
	text, err := r.read(r.wantCompleted(r.submit(exportOf("mia"))))
	if err != nil {
		t.Fatal(err)
	}
	_, events := checkArchive(t, text)
	states := map[string]int{}
	for _, e := range events {
		states[e.ContentState]++
	}
	if !maps.Equal(states, map[string]int{reveal.ContentDestroyed: 1, reveal.ContentOpened: 1}) {
		t.Errorf("contents are %v", states)
	}
	// Retention drops the content of the second.
	dropped := vault.Prune{Log: events[1].Log, What: chain.PrunedContents, Behind: events[1].Seq + 1, Record: [16]byte{1}, At: time.Now()}
	if _, _, err := r.Vault.RecordPrune(t.Context(), dropped); err != nil {
		t.Fatal(err)
	}
	part := store.Part{Log: events[1].Log, From: events[1].Seq, Behind: events[1].Seq + 1}
	if err := r.Store.DropContents(t.Context(), part, nil); err != nil {
		t.Fatal(err)
	}
	if text, err = r.read(r.wantCompleted(r.submit(exportOf("mia")))); err != nil {
		t.Fatal(err)
	}
	if _, events = checkArchive(t, text); len(events) != 2 || events[1].ContentState != reveal.ContentDropped || events[1].Content != nil {
		t.Errorf("events %+v", events)
	}
	// Somebody who has ClickHouse changes an entry.
	if err := r.Server.Exec(t.Context(), "ALTER TABLE "+r.Server.Database+".events UPDATE entry = replaceOne(entry, 'tool.call', 'tool.calk') WHERE seq = "+
		fmt.Sprint(events[1].Seq)+" AND log = '"+events[1].Log+"' SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	request := r.submit(exportOf("mia"))
	testkit.Eventually(t, soon, func() bool {
		now, _, err := r.Vault.Request(context.Background(), request.ID)
		return err == nil && now.State == gdpr.StateWaiting && strings.Contains(now.Reason, "agentaudit verify")
	}, "the request waits and says why")
	if names := r.filesIn(); len(names) != 2 {
		t.Errorf("there is %v", names)
	}
}
