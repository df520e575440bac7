package vault

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOpenAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		first := openVault(t, cfg, keys)
		second := openVault(t, cfg, keys)
		if first.SearchKey() != second.SearchKey() || first.secrets != second.secrets || second.Deployment() != cfg.Deployment {
			t.Error("the deployment's secrets changed")
		}
		if first.secrets.search == first.secrets.lookup || first.SearchKey() == [32]byte{} {
			t.Error("the deployment's secrets are not secret")
		}
		var versions int
		if err := second.db.read.QueryRowContext(t.Context(), `SELECT count(*) FROM goose_db_version`).Scan(&versions); err != nil || versions < 2 {
			t.Errorf("%d migrations noted, want the initial one and ours at least: %v", versions, err)
		}
		if err := second.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		cfg.Deployment = "other.example.com"
		if _, err := Open(t.Context(), cfg, keys); err == nil || !strings.Contains(err.Error(), `"audit.example.com"`) {
			t.Errorf("another deployment: %v", err)
		}
	})
}

func TestOpenAtTheSameTime(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, _ := newKeyring(t)
		const n = 8
		secrets := make([]deploymentSecrets, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				v, err := Open(t.Context(), cfg, keys)
				if err != nil {
					t.Error(err)
					return
				}
				secrets[i] = v.secrets
				if err := v.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := range secrets {
			if secrets[i] != secrets[0] {
				t.Fatal("two first opens made two secrets")
			}
		}
	})
}

func TestWrongKeyring(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		keys, keyCfg := newKeyring(t)
		v := openVault(t, cfg, keys)
		subjectsOf(t, v, people(0, 3)...)
		other, otherCfg := newKeyring(t)
		if _, err := Open(t.Context(), cfg, other); !errors.Is(err, ErrWrongKeyring) || !strings.Contains(err.Error(), otherCfg.Source[5:]) {
			t.Errorf("another keyring: %v", err)
		}
		// A keyring that knows the current generation but lacks an older one that is in use.
		if _, err := keys.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := v.useGeneration(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		if err := keys.drop(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		partial, err := OpenKeyring(t.Context(), keyCfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), cfg, partial); !errors.Is(err, ErrWrongKeyring) || !strings.Contains(err.Error(), "generation 1") {
			t.Errorf("generation 1 missing: %v", err)
		}
	})
}

func TestOpenRefused(t *testing.T) {
	keys, _ := newKeyring(t)
	f := func(cfg Config, want string) {
		t.Helper()
		v, err := Open(t.Context(), cfg, keys)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
		if err == nil {
			v.Close()
		}
	}
	dir := t.TempDir()
	f(Config{Driver: DriverSQLite, DSN: filepath.Join(dir, "vault.db")}, "no name")
	f(Config{Driver: "mysql", DSN: "x", Deployment: "d"}, "mysql")
	f(Config{Driver: DriverSQLite, Deployment: "d"}, "no path")
	f(Config{Driver: DriverSQLite, DSN: filepath.Join(dir, "none", "vault.db"), Deployment: "d"}, "no such file")
	f(Config{Driver: DriverPostgres, DSN: "postgres://u:hunter2@127.0.0.1:1/x?sslmode=bad", Deployment: "d"}, "sslmode")
	f(Config{Driver: DriverPostgres, DSN: "postgres://u:hunter2@127.0.0.1:1/x?sslmode=disable", Deployment: "d"}, "unavailable")
	if err := os.WriteFile(filepath.Join(dir, "text"), bytes.Repeat([]byte("not a database "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	f(Config{Driver: DriverSQLite, DSN: filepath.Join(dir, "text"), Deployment: "d"}, "not a database")
}

// A path may contain what means something in a URL.
func TestSQLitePath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20&_pragma=x")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "vault.db")
	newVault(t, Config{Driver: DriverSQLite, DSN: path, Deployment: "d"})
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 || info.Size() == 0 {
		t.Errorf("database file: %v, %v", info, err)
	}
}

func TestSQLitePragmas(t *testing.T) {
	v := newVault(t, emptyDatabase(t, DriverSQLite))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1"} {
		var got string
		if err := v.db.write.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, want %s: %v", pragma, got, want, err)
		}
	}
}

// Nothing in the database's files, the journal included, tells who is in it, and after the destruction not even the row's hash is left.
func TestNothingReadableInFiles(t *testing.T) {
	keys, _ := newKeyring(t)
	cfg := emptyDatabase(t, DriverSQLite)
	v := openVault(t, cfg, keys)
	ids := people(0, 500)
	subjects := subjectsOf(t, v, ids...)
	day, err := v.DayKey(t.Context(), "2026-11-20")
	if err != nil {
		t.Fatal(err)
	}
	search, lookup := v.secrets.search, v.secrets.lookup
	dir := filepath.Dir(cfg.DSN)
	for name, secret := range map[string][]byte{
		"user id":       []byte("user-250@example.com"),
		"tenant":        []byte("tenant-5"),
		"content key":   subjects[250].Keys.Content[:],
		"token key":     subjects[250].Keys.Token[:],
		"day key":       day.Content[:],
		"search key":    search[:],
		"look-up key":   lookup[:],
		"wrapping key":  keys.generations[0].key[:],
		"half of a key": subjects[7].Keys.Content[:16],
	} {
		if file := findInFiles(t, dir, secret); file != "" {
			t.Errorf("%s is in %s", name, file)
		}
	}
	row := subjects[250].ID[:]
	h := newHasher(&v.secrets.lookup).identity(ids[250])
	if findInFiles(t, dir, row) == "" || findInFiles(t, dir, h[:]) == "" {
		t.Fatal("the search finds nothing at all")
	}
	if err := v.Destroy(t.Context(), subjects[250].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := v.destroyDayKeys(t.Context(), "2026-11-21", at.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	for name, gone := range map[string][]byte{"look-up hash": h[:], "key id": subjects[250].Keys.ID[:], "key id of the day": day.ID[:]} {
		if file := findInFiles(t, dir, gone); file != "" {
			t.Errorf("destroyed %s is still in %s", name, file)
		}
	}
}

// findInFiles returns the first file below dir that contains want.
func findInFiles(t *testing.T, dir string, want []byte) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, want) {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Somebody else holds the write lock: writing fails in time and says that it may be repeated, reading goes on.
func TestLockedSQLite(t *testing.T) {
	keys, _ := newKeyring(t)
	cfg := emptyDatabase(t, DriverSQLite)
	v, other := openVault(t, cfg, keys), openVault(t, cfg, keys)
	known := people(0, 1)
	subjectsOf(t, v, known...)
	tx, err := other.db.write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := v.Subjects(ctx, people(1, 1)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("create: %v", err)
	}
	subjectsOf(t, v, known...)
	if _, _, err := v.changesSince(t.Context(), point{}); err != nil {
		t.Errorf("changes: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	subjectsOf(t, v, people(1, 1)...)
}

func TestCanceledIsNotUnavailable(t *testing.T) {
	onBoth(t, func(t *testing.T, cfg Config) {
		v := newVault(t, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := v.Subjects(ctx, people(0, 1)); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) {
			t.Errorf("canceled: %v", err)
		}
		subjectsOf(t, v, people(0, 1)...)
	})
}
