package privacy

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/archive"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
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

// sent is an event that was produced.
type sent struct {
	id, user string
	others   []string
	input    any
}

// send produces an event and waits for nothing.
func (r *rig) send(e sent) sent {
	r.t.Helper()
	e.id = uuid.NewString()
	event := map[string]any{
		"schema": "agentaudit.event/v1", "event_id": e.id, "time": time.Now().UTC().Format(time.RFC3339Nano), "type": "tool.call", "action": "call",
		"outcome": "success", "tenant": "acme", "user_id": e.user, "session_id": "s-" + e.user, "attributes": map[string]string{"note": "a;=1+1"},
	}
	if e.input != nil {
		event["content"] = map[string]any{"input": e.input}
	}
	if len(e.others) > 0 {
		event["data_subjects"] = e.others
	}
	text, err := json.Marshal(event)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Kafka.Produce(context.Background(), r.Ingest.EventsTopic, []kafkaio.Message{{Value: text}}); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// read fetches the archive of a request.
func (r *rig) read(request vault.Request) ([]byte, error) {
	a, err := OpenExport(context.Background(), r.Vault, r.exportDir, request.ID)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return io.ReadAll(a)
}

func unzip(t *testing.T, text []byte) map[string][]byte {
	t.Helper()
	in, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range in.File {
		opened, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(opened); err != nil {
			t.Fatal(err)
		}
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// checkArchive checks that an archive has what it says it has: digests, the same events in both forms, and a good proof for each. It returns the events.
func checkArchive(t *testing.T, text []byte) (map[string][]byte, []reveal.Event) {
	t.Helper()
	files := unzip(t, text)
	var m archive.Manifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range m.Files {
		if sum := sha256.Sum256(files[f.Name]); hex.EncodeToString(sum[:]) != f.SHA256 || int64(len(files[f.Name])) != f.Bytes {
			t.Errorf("%s is not what the manifest says", f.Name)
		}
	}
	if len(files) != len(m.Files)+1 {
		t.Errorf("%d files, %d in the manifest", len(files), len(m.Files))
	}
	var events []reveal.Event
	for line := range bytes.Lines(files["events.jsonl"]) {
		var e reveal.Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if m.Events != uint64(len(events)) {
		t.Errorf("%d events, %d in the manifest", len(events), m.Events)
	}
	checkTable(t, files["events.csv"], events)
	known, err := logkeys.Verifiers(strings.Fields(string(files["keys.txt"])))
	if err != nil {
		t.Fatal(err)
	}
	proved := map[string][]byte{}
	for _, log := range m.Logs {
		proofs, err := chain.SplitProofs(files["proofs/"+log.Log+".tlog-proof"])
		if err != nil || uint64(len(proofs)) != log.Events {
			t.Fatalf("%d proofs of %s, want %d: %v", len(proofs), log.Log, log.Events, err)
		}
		for _, p := range proofs {
			proof, err := chain.OpenProof(p, known)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(proof.Signed, files["checkpoints/"+log.Log]) {
				t.Errorf("a proof of %s leads to another checkpoint", log.Log)
			}
			proved[fmt.Sprint(proof.Header.Log, proof.Header.Seq)] = proof.Entry
		}
	}
	for _, e := range events {
		var entry chain.Entry
		if err := chain.ParseEntry(proved[fmt.Sprint(e.Log, e.Seq)], &entry); err != nil {
			t.Fatalf("the proof of an event: %v", err)
		}
		var same bytes.Buffer
		if err := json.Compact(&same, entry.Event); err != nil || same.String() != string(e.Public) {
			t.Errorf("the event is not what is proved: %s, %s", e.Public, entry.Event)
		}
	}
	return files, events
}

// checkTable checks that the table has the same as the lines, and nothing that a spreadsheet runs.
func checkTable(t *testing.T, table []byte, events []reveal.Event) {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil || len(rows) != len(events)+1 {
		t.Fatalf("%d rows of %d events, %v", len(rows), len(events), err)
	}
	for i, row := range rows[1:] {
		cell := map[string]string{}
		for j, name := range rows[0] {
			cell[name] = row[j]
			for part := range strings.FieldsFuncSeq(row[j], func(c rune) bool { return c == ';' || c == '\t' || c == '\n' || c == '\r' }) {
				if strings.ContainsAny(strings.TrimLeft(part, ` "'`)[:min(1, len(strings.TrimLeft(part, ` "'`)))], "=+-@") && !strings.HasPrefix(strings.TrimLeft(part, ` "`), "'") {
					t.Errorf("a spreadsheet would run %q", row[j])
				}
			}
		}
		e := events[i]
		var public, content any
		if err := json.Unmarshal([]byte(cell["event"]), &public); err != nil {
			t.Fatal(err)
		}
		if cell["content"] != "" {
			if err := json.Unmarshal([]byte(cell["content"]), &content); err != nil {
				t.Fatal(err)
			}
		}
		plain := strings.NewReplacer("'", "")
		if cell["log"] != e.Log || cell["seq"] != fmt.Sprint(e.Seq) || cell["event_id"] != e.EventID || cell["time"] != e.Time || cell["type"] != e.Type ||
			plain.Replace(cell["user"]) != plain.Replace(e.User) || cell["subject"] != e.Subject || cell["data_subjects"] != strings.Join(e.DataSubjects, " ") ||
			cell["content_state"] != e.ContentState || !sameJSON(public, e.Public) || !sameJSON(content, e.Content) {
			t.Errorf("row %v is not the line %+v", row, e)
		}
	}
}

func sameJSON(value any, text []byte) bool {
	if len(text) == 0 {
		return value == nil
	}
	var other any
	if err := json.Unmarshal(text, &other); err != nil {
		return false
	}
	a, errA := json.Marshal(value)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// filesIn are the names in the folder of exports.
func (r *rig) filesIn() []string {
	r.t.Helper()
	entries, err := os.ReadDir(r.exportDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (r *rig) wantCompleted(request vault.Request) vault.Request {
	r.t.Helper()
	ended := r.awaitEnd(request)
	if ended.State != gdpr.StateCompleted {
		r.t.Fatalf("the export is %s: %s", ended.State, ended.Reason)
	}
	return ended
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

// A process that makes an archive is killed behind each step; the next one begins anew. There is one archive, and nothing else is left.
func TestKilledAtEachStepOfAnExport(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for i, step := range []string{stepTaken, stepBegun, stepAttempt, stepPart, stepWritten, stepNamed, stepEnded} {
			t.Run(strings.ReplaceAll(step, " ", "_"), func(t *testing.T) {
				r := r.in(t)
				user := fmt.Sprintf("user-%d", i)
				r.produce(user, "")
				r.awaitSealed()
				request := r.submit(exportOf(user))
				r.runUntilKilled(step)
				w := r.newWorker()
				w.claimFor = 2 * time.Second // what it has claimed when it ends is waited for by the next
				defer r.Run(w.Run)()
				text, err := r.read(r.wantCompleted(request))
				if err != nil {
					t.Fatal(err)
				}
				if _, events := checkArchive(t, text); len(events) != 1 {
					t.Errorf("%d events", len(events))
				}
				testkit.Eventually(t, soon, func() bool { return len(r.filesIn()) == i+1 }, "one file for each export, and no others")
				testkit.Eventually(t, soon, func() bool {
					steps, err := r.Store.FindEvents(t.Context(), store.Filter{Type: typeRequest, Limit: 1000})
					return err == nil && len(steps) == 3*(i+1)
				}, "the three steps of each request in the log, once")
			})
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

// What was there before the erasure is gone within seconds, and a copy of the file opens with nothing that is left.
func TestErasureDestroysExports(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.produce("mia", "")
		r.produce("noah", "")
		r.awaitSealed()
		r.start()
		mias, noahs := r.wantCompleted(r.submit(exportOf("mia"))), r.wantCompleted(r.submit(exportOf("noah")))
		e, _, err := r.Vault.Export(t.Context(), mias.ID)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(r.exportDir, exportName(e.Request, e.Attempt))
		taken, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ended := r.awaitEnd(r.submit(erasureOf("mia")))
		var receipt gdpr.Receipt
		if err := json.Unmarshal([]byte(ended.Result), &receipt); err != nil || receipt.Residual.VaultRows != 0 {
			t.Fatalf("%+v, %v", receipt, err)
		}
		if i := slices.IndexFunc(receipt.Stores, func(s gdpr.StoreStatus) bool { return s.Store == "exports" && s.Status == gdpr.StoreErased }); i < 0 {
			t.Errorf("the receipt says %+v", receipt.Stores)
		}
		testkit.Eventually(t, soon, func() bool { return len(r.filesIn()) == 1 }, "the file is gone")
		// Somebody puts it back.
		if err := os.WriteFile(path, taken, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := r.read(mias); !errors.Is(err, ErrNoExport) {
			t.Errorf("it opens: %v", err)
		}
		if _, err := r.read(noahs); err != nil {
			t.Errorf("another person's: %v", err)
		}
		testkit.Eventually(t, soon, func() bool { return len(r.filesIn()) == 1 }, "it is gone again")
		r.produce("mia", "")
		if ended := r.awaitEnd(r.submit(erasureOf("noah"))); ended.State != gdpr.StateCompleted {
			t.Fatal(ended.Reason)
		}
		if now, _, err := r.Vault.Request(t.Context(), mias.ID); err != nil || now.State != gdpr.StateCompleted {
			t.Errorf("the request is %s, %v", now.State, err)
		}
	})
}

func TestExportExpires(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.produce("mia", "")
		r.awaitSealed()
		w := r.newWorker()
		w.cfg.ExportKeep = time.Hour
		defer r.Run(w.Run)()
		request := r.wantCompleted(r.submit(exportOf("mia")))
		if _, err := r.read(request); err != nil {
			t.Fatal(err)
		}
		strange := filepath.Join(r.exportDir, "notes.txt")
		if err := os.WriteFile(strange, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.tidyExports(t.Context(), time.Now().Add(59*time.Minute)); err != nil || len(r.filesIn()) != 2 {
			t.Errorf("too early: %v, %v", r.filesIn(), err)
		}
		if err := w.tidyExports(t.Context(), time.Now().Add(61*time.Minute)); err != nil || !slices.Equal(r.filesIn(), []string{"notes.txt"}) {
			t.Errorf("there is %v, %v", r.filesIn(), err)
		}
		if list, err := r.Vault.Exports(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		if _, err := r.read(request); !errors.Is(err, ErrNoExport) {
			t.Errorf("it opens: %v", err)
		}
		if now, _, err := r.Vault.Request(t.Context(), request.ID); err != nil || now.State != gdpr.StateCompleted {
			t.Errorf("the request is %s, %v", now.State, err)
		}
	})
}

func TestExportForRecipient(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	r.start()
	plain, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for recipient, identity := range map[string]age.Identity{plain.Recipient().String(): plain, hybrid.Recipient().String(): hybrid} {
		s := exportOf("mia")
		s.Recipient = recipient
		request := r.wantCompleted(r.submit(s))
		if result, err := ResultOfExport(&request); err != nil || !result.ForRecipient || request.Options != "{}" {
			t.Errorf("%+v, options %s, %v", result, request.Options, err)
		}
		sealed, err := r.read(request)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := age.Decrypt(bytes.NewReader(sealed), identity)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(opened)
		if err != nil {
			t.Fatal(err)
		}
		checkArchive(t, text)
	}
	for _, recipient := range []string{"age1", "mia-x", plain.String(), "age1" + strings.Repeat("q", 5000)} {
		s := exportOf("mia")
		s.Recipient = recipient
		if _, _, err := Submit(t.Context(), r.Vault, s); err == nil || strings.Contains(err.Error(), recipient[4:]) && len(recipient) > 10 {
			t.Errorf("taken for a recipient: %q, %v", recipient, err)
		}
	}
	s := erasureOf("mia")
	s.Recipient = plain.Recipient().String()
	if _, _, err := Submit(t.Context(), r.Vault, s); err == nil {
		t.Error("an erasure with a recipient")
	}
}

func TestExportsRefusedWithoutFolder(t *testing.T) {
	r := newRig(t)
	r.produce("mia", "")
	r.awaitSealed()
	r.exportDir = ""
	r.start()
	if ended := r.awaitEnd(r.submit(exportOf("mia"))); ended.State != gdpr.StateRefused || !strings.Contains(ended.Reason, "exporter.export_dir") {
		t.Errorf("%s: %s", ended.State, ended.Reason)
	}
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

func FuzzAttemptOf(f *testing.F) {
	f.Add(exportName([16]byte{1}, [16]byte{2}))
	f.Add("." + exportName([16]byte{1}, [16]byte{2}) + ".new-123")
	f.Add("../" + exportName([16]byte{1}, [16]byte{2}))
	f.Fuzz(func(t *testing.T, name string) {
		attempt, beside, ok := attemptOf(name)
		if !ok {
			return
		}
		if filepath.Base(name) != name || !strings.Contains(name, hex.EncodeToString(attempt[:])) || beside != strings.HasPrefix(name, ".") {
			t.Errorf("%q is taken for one of ours", name)
		}
	})
}

func FuzzParseRecipient(f *testing.F) {
	f.Add("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p")
	f.Add("AGE-SECRET-KEY-1QQ")
	f.Fuzz(func(t *testing.T, text string) {
		recipient, err := ParseRecipient(text)
		if err != nil {
			if len(text) > 30 && strings.Contains(err.Error(), text) {
				t.Error("the error quotes what may be a secret")
			}
			return
		}
		w, err := age.Encrypt(io.Discard, recipient)
		if err != nil || w.Close() != nil {
			t.Errorf("%q is none: %v", text, err)
		}
	})
}
