package vault

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"go.uber.org/goleak"
)

// childVariable makes the test binary run one of children instead of the tests, as a process of its own.
const childVariable = "AGENTAUDIT_VAULT_TEST_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		if err := children[name](context.Background(), os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// onBoth runs a test on SQLite and on PostgreSQL, with an empty database each.
func onBoth(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Helper()
	for _, driver := range []string{DriverSQLite, DriverPostgres} {
		t.Run(driver, func(t *testing.T) { test(t, emptyDatabase(t, driver)) })
	}
}

func emptyDatabase(t testing.TB, driver string) Config {
	t.Helper()
	cfg := Config{Driver: driver, Deployment: "audit.example.com"}
	if driver == DriverPostgres {
		cfg.DSN = testkit.Postgres(t)
	} else {
		cfg.DSN = filepath.Join(t.TempDir(), "vault.db")
	}
	return cfg
}

func newKeyring(t testing.TB) (*Keyring, KeyConfig) {
	t.Helper()
	cfg := KeyConfig{Source: "file:" + filepath.Join(t.TempDir(), "keyring")}
	k, err := CreateKeyring(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k, cfg
}

func openVault(t testing.TB, cfg Config, keys *Keyring) *Vault {
	t.Helper()
	v, err := Open(t.Context(), cfg, keys)
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

// newVault opens a vault on an empty database.
func newVault(t testing.TB, cfg Config) *Vault {
	t.Helper()
	keys, _ := newKeyring(t)
	return openVault(t, cfg, keys)
}

// people makes identities with numbers from first on.
func people(first, n int) []Identity {
	ids := make([]Identity, n)
	for i := range ids {
		ids[i] = Identity{Tenant: fmt.Sprintf("tenant-%d", (first+i)%7), User: fmt.Sprintf("user-%d@example.com", first+i)}
	}
	return ids
}

func subjectsOf(t testing.TB, v *Vault, ids ...Identity) []Subject {
	t.Helper()
	subjects, err := v.Subjects(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return subjects
}

// soon bounds waiting for something that should happen at once.
const soon = 30 * time.Second
