package privacy

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// read fetches the archive of a request.
func (r *rig) read(request vault.Request) ([]byte, error) {
	a, err := OpenExport(context.Background(), r.Vault, r.exportDir, request.ID)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	return io.ReadAll(a)
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
