package notify

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// update rewrites the golden files.
var update = flag.Bool("update", false, "rewrite the files in testdata")

// template is a folder with an empty vault, made once: making one takes longer than most tests.
var template string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "notify-vault-")
	if err == nil {
		template = dir
		err = makeVault(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

func vaultConfig(dir string) vault.Config {
	return vault.Config{Driver: vault.DriverSQLite, DSN: filepath.Join(dir, "vault.db"), Deployment: "test"}
}

func keyConfig(dir string) vault.KeyConfig {
	return vault.KeyConfig{Source: "file:" + filepath.Join(dir, "keyring")}
}

func makeVault(ctx context.Context, dir string) error {
	keys, err := vault.CreateKeyring(ctx, keyConfig(dir))
	if err != nil {
		return err
	}
	v, err := vault.Open(ctx, vaultConfig(dir), keys)
	if err != nil {
		return err
	}
	return v.Close()
}

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; go test -update rewrites it\n%s", path, got)
	}
}

// openVault opens an empty vault on SQLite.
func openVault(t testing.TB) *vault.Vault {
	t.Helper()
	return openVaultIn(t, t.TempDir())
}

// openVaultIn does so in a directory.
func openVaultIn(t testing.TB, dir string) *vault.Vault {
	t.Helper()
	for _, name := range []string{"keyring", "vault.db"} {
		text, err := os.ReadFile(filepath.Join(template, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	keys, err := vault.OpenKeyring(t.Context(), keyConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), vaultConfig(dir), keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func jsonLog(out *strings.Builder) *slog.Logger { return slog.New(slog.NewJSONHandler(out, nil)) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// spammer is the incident of 02:34.
func spammer(severity anomaly.Severity, status anomaly.Status) anomaly.Incident {
	at := time.Date(2026, 11, 20, 2, 34, 10, 0, time.UTC)
	in := anomaly.Incident{
		ID: uuid.MustParse("0192f0c1-7a2b-7c3d-8e4f-5a6b7c8d9e0f"), Revision: 2, Time: at, First: at, Last: at.Add(7 * time.Minute),
		Tenant: "acme", Kind: anomaly.EntitySubject, Subject: uuid.MustParse("6f1c2b3a-4d5e-4f60-8172-93a4b5c6d7e8"),
		Agents: []string{"support-bot"}, Tools: []string{"crm.search", "mail.send"},
		Severity: severity, Status: status, Title: "Cost and mails of support-bot far above what is usual",
		Signals: []anomaly.Signal{
			{Name: "rate.cost", Expected: "at most 1.20 USD an hour", Observed: "312.55 USD an hour", Score: 9, Since: at},
			{Name: "order.exfiltration", Expected: "no reading of many rows before sending out", Observed: "47000 rows read, then mail.send", Score: 7.25, Since: at.Add(time.Minute)},
			{Name: "novel.tool", Expected: "crm.search", Observed: "mail.send", Score: 3.1, Since: at.Add(2 * time.Minute)},
			{Name: "finding.injection.instruction_override", Expected: "none", Observed: "in a tool's output", Score: 6, Since: at},
		},
		Events:     []uuid.UUID{uuid.MustParse("0192f0c1-0000-7000-8000-000000000001"), uuid.MustParse("0192f0c1-0000-7000-8000-000000000002")},
		EventCount: 412, CostUSD: 36.47,
	}
	return in
}
