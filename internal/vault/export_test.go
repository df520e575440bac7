package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// working is a request for an export that somebody is at work on.
func working(t *testing.T, v *Vault, number byte, who Identity) Request {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Microsecond)
	r, _, err := v.AddRequest(t.Context(), Request{
		ID: [16]byte{number}, Caller: fmt.Sprint(number), Kind: gdpr.RequestExport, State: gdpr.StateVerified, Options: `{"recipient":"age1x"}`,
		Received: now, Due: now.AddDate(0, 1, 0),
	}, who)
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := v.ClaimRequest(t.Context(), r.ID, now, now.Add(time.Minute)); err != nil || !taken {
		t.Fatal(taken, err)
	}
	return r
}

func begun(t *testing.T, v *Vault, e Export, secret []byte) Export {
	t.Helper()
	if found, err := v.BeginExport(t.Context(), e, secret); err != nil || !found {
		t.Fatalf("begin: %v, %v", found, err)
	}
	stored, found, err := v.Export(t.Context(), e.Request)
	if err != nil || !found || stored.Attempt != e.Attempt || stored.Ours() != (secret != nil) {
		t.Fatalf("stored %+v, %v, %v", stored, found, err)
	}
	return stored
}

func TestExport(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v := openVault(t, cfg, keys)
		ctx := t.Context()
		mia := Identity{"acme", "mia"}
		subject := subjectsOf(t, v, mia)[0]
		request := working(t, v, 1, mia)

		if found, err := v.BeginExport(ctx, Export{Request: request.ID, Attempt: [16]byte{9}, Subject: gdpr.SubjectID{1}}, nil); err != nil || found {
			t.Errorf("begun for nobody: %v, %v", found, err)
		}
		first := begun(t, v, Export{Request: request.ID, Attempt: [16]byte{1}, Subject: subject.ID}, []byte("one"))
		second := begun(t, v, Export{Request: request.ID, Attempt: [16]byte{2}, Subject: subject.ID}, []byte("two"))
		if ok, err := v.NoteExport(ctx, first, 1, 2); err != nil || ok {
			t.Errorf("an attempt that was overtaken counts: %v, %v", ok, err)
		}
		if ok, err := v.FinishExport(ctx, first, "{}", time.Now()); err != nil || ok {
			t.Errorf("an attempt that was overtaken ends the request: %v, %v", ok, err)
		}
		if ok, err := v.NoteExport(ctx, second, 3, 4); err != nil || !ok {
			t.Errorf("%v, %v", ok, err)
		}
		if now, _, err := v.Export(ctx, request.ID); err != nil || now.Events != 3 || now.Total != 4 || now.Ready || now.State != gdpr.StateInProgress {
			t.Errorf("%+v, %v", now, err)
		}
		second.Events, second.Total, second.Expires = 4, 4, time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
		saying := Saying{EventID: [16]byte{5}, At: time.Now(), Record: "{}"}
		if ok, err := v.FinishExport(ctx, second, `{"a":1}`, time.Now(), saying); err != nil || !ok {
			t.Fatalf("finish: %v, %v", ok, err)
		}
		// A process that had been at work on it, and slept, would take the finished archive away.
		if ok, err := v.BeginExport(ctx, Export{Request: request.ID, Attempt: [16]byte{3}, Subject: subject.ID}, []byte("three")); err != nil || ok {
			t.Errorf("begun again after its end: %v, %v", ok, err)
		}
		if ok, err := v.FinishExport(ctx, second, `{"a":1}`, time.Now(), saying); err != nil || ok {
			t.Errorf("finished twice: %v, %v", ok, err)
		}
		ended, _, err := v.Request(ctx, request.ID)
		if err != nil || ended.State != gdpr.StateCompleted || ended.Result != `{"a":1}` || ended.Options != "{}" || ended.identity != nil {
			t.Errorf("the request: %+v, %v", ended, err)
		}
		if unsaid, err := v.ClaimUnsaid(ctx, 10, time.Now(), time.Now().Add(time.Minute)); err != nil || len(unsaid) != 1 {
			t.Errorf("to be said: %v, %v", unsaid, err)
		}
		ready, _, err := v.Export(ctx, request.ID)
		if err != nil || !ready.Ready || ready.Events != 4 || !ready.Expires.Equal(second.Expires) || ready.State != gdpr.StateCompleted {
			t.Errorf("%+v, %v", ready, err)
		}

		// Its secret follows the generations of the key-encryption key, and keeps an old one from being retired.
		if _, err := keys.Rotate(ctx); err != nil {
			t.Fatal(err)
		}
		if err := v.Retire(ctx, 1); !errors.Is(err, ErrGenerationInUse) {
			t.Errorf("retired: %v", err)
		}
		if _, err := v.Rewrap(ctx); err != nil {
			t.Fatal(err)
		}
		if err := v.Retire(ctx, 1); err != nil {
			t.Error(err)
		}
		if ready, _, err = v.Export(ctx, request.ID); err != nil {
			t.Fatal(err)
		}
		if secret, err := v.ExportSecret(ctx, ready); err != nil || string(secret) != "two" {
			t.Errorf("the secret is %q, %v", secret, err)
		}
		moved := ready
		moved.Attempt = [16]byte{7}
		if _, err := v.ExportSecret(ctx, moved); err == nil {
			t.Error("a secret opens at another place")
		}

		// One that ends otherwise forgets for whom it would have been.
		refused := working(t, v, 2, mia)
		if ok, err := v.EndRequest(ctx, refused.ID, Ending{State: gdpr.StateRefused, Reason: "no"}, time.Now()); err != nil || !ok {
			t.Fatal(ok, err)
		}
		if err := v.ForgetExportOptions(ctx); err != nil {
			t.Fatal(err)
		}
		if now, _, err := v.Request(ctx, refused.ID); err != nil || now.Options != "{}" {
			t.Errorf("options %s, %v", now.Options, err)
		}

		// A recipient's own: there is nothing here to open it.
		other := working(t, v, 3, mia)
		begun(t, v, Export{Request: other.ID, Attempt: [16]byte{3}, Subject: subject.ID}, nil)
		done, found, err := v.Erase(ctx, erasure(4, subject.ID, time.Now()))
		if err != nil || !found || done.Exports != 2 {
			t.Errorf("erased %+v, %v, %v", done, found, err)
		}
		if again, _, err := v.Erase(ctx, erasure(4, subject.ID, time.Now())); err != nil || again != done {
			t.Errorf("the same request again: %+v, %v", again, err)
		}
		if list, err := v.Exports(ctx); err != nil || len(list) != 0 {
			t.Errorf("exports outlive the person: %+v, %v", list, err)
		}
		if left, err := v.Traces(ctx, subject.ID, subject.Keys.ID); err != nil || left != 0 {
			t.Errorf("%d traces, %v", left, err)
		}
	})
}

// Whichever of the two comes first: there is no export of who is erased.
func TestExportAndErasureAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		v := openVault(t, cfg, keys)
		for round := range byte(20) {
			who := people(int(round), 1)[0]
			subject := subjectsOf(t, v, who)[0]
			request := working(t, v, 100+round, who)
			var group sync.WaitGroup
			group.Go(func() {
				e := Export{Request: request.ID, Attempt: [16]byte{round}, Subject: subject.ID}
				if found, err := v.BeginExport(t.Context(), e, []byte("secret")); err != nil {
					t.Errorf("begin: %v, %v", found, err)
				} else if _, err := v.FinishExport(t.Context(), e, "{}", time.Now()); err != nil {
					t.Errorf("finish: %v", err)
				}
			})
			group.Go(func() {
				if _, found, err := v.Erase(t.Context(), erasure(round, subject.ID, time.Now())); err != nil || !found {
					t.Errorf("erase: %v, %v", found, err)
				}
			})
			group.Wait()
		}
		if list, err := v.Exports(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("%d exports of people who are erased, %v", len(list), err)
		}
	})
}

// With SQLite no byte of a secret is in any file of the vault once it was dropped.
func TestDroppedExportIsInNoFile(t *testing.T) {
	keys, _ := newKeyring(t)
	dir := t.TempDir()
	v := openVault(t, Config{Driver: DriverSQLite, DSN: filepath.Join(dir, "vault.db"), Deployment: "test"}, keys)
	mia := Identity{"acme", "mia"}
	subject := subjectsOf(t, v, mia)[0]
	e := begun(t, v, Export{Request: working(t, v, 1, mia).ID, Attempt: [16]byte{1}, Subject: subject.ID}, []byte("secret"))
	if err := v.DropExport(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, e.secret) {
			t.Errorf("%s holds the wrapped secret", file.Name())
		}
	}
}
