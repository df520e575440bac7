package vault

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func numbers(k *Keyring) []int {
	var list []int
	for _, g := range k.Generations() {
		list = append(list, g.Number)
	}
	return list
}

func TestKeyringFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring")
	f := func(t *testing.T, cfg KeyConfig) {
		created, err := CreateKeyring(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if _, err := CreateKeyring(t.Context(), cfg); !errors.Is(err, fs.ErrExist) {
			t.Errorf("created again: %v", err)
		}
		opened, err := OpenKeyring(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(created.generations, opened.generations) {
			t.Error("read back another keyring")
		}
		if n, err := opened.Rotate(t.Context()); n != 2 || err != nil {
			t.Fatalf("Rotate: %d, %v", n, err)
		}
		// The other one finds the new generation when it needs it.
		key, err := created.key(t.Context(), 2)
		if want, _ := opened.find(2); err != nil || key != want {
			t.Errorf("generation 2: %v", err)
		}
		if _, err := created.key(t.Context(), 3); !errors.Is(err, ErrWrongKeyring) {
			t.Errorf("generation 3: %v", err)
		}
		if err := created.drop(t.Context(), 1); err != nil || !slices.Equal(numbers(created), []int{2}) {
			t.Errorf("drop: %v, %v", numbers(created), err)
		}
		if err := created.drop(t.Context(), 2); err == nil {
			t.Error("the last generation was dropped")
		}
		if n, err := created.Rotate(t.Context()); n != 3 || err != nil {
			t.Errorf("Rotate: %d, %v", n, err)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 2 { // and the lock
			t.Errorf("left behind: %v, %v", entries, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("plain", func(t *testing.T) { f(t, KeyConfig{Source: "file:" + path}) })
	t.Run("kms", func(t *testing.T) { f(t, KeyConfig{Source: "file:" + path, KMS: localKMS()}) })
}

// localKMS is the URL of a key service that is a random key in the URL.
func localKMS() string {
	key := make([]byte, 32)
	rand.Read(key)
	return "base64key://" + base64.URLEncoding.EncodeToString(key)
}

func TestKeyringThroughKMSIsEncrypted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring")
	cfg := KeyConfig{Source: "file:" + path, KMS: localKMS()}
	k, err := CreateKeyring(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(stored), base64.StdEncoding.EncodeToString(k.generations[0].key[:])) || strings.Contains(string(stored), "generations") {
		t.Error("the file is not encrypted")
	}
	for name, other := range map[string]string{"another key": localKMS(), "none": ""} {
		if _, err := OpenKeyring(t.Context(), KeyConfig{Source: cfg.Source, KMS: other}); err == nil {
			t.Errorf("opened under %s", name)
		} else if strings.Contains(err.Error(), strings.TrimSpace(string(stored))) || other != "" && strings.Contains(err.Error(), other[12:]) {
			t.Errorf("secrets in the error: %v", err)
		}
	}
}

func TestKeyringFromEnvironment(t *testing.T) {
	created, cfg := newKeyring(t)
	line, err := os.ReadFile(strings.TrimPrefix(cfg.Source, "file:"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AGENTAUDIT_TEST_KEYRING", string(line))
	k, err := OpenKeyring(t.Context(), KeyConfig{Source: "env:AGENTAUDIT_TEST_KEYRING"})
	if err != nil || !slices.Equal(k.generations, created.generations) {
		t.Fatalf("read back another keyring: %v", err)
	}
	if _, err := k.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "AGENTAUDIT_TEST_KEYRING") {
		t.Errorf("Rotate: %v", err)
	}
	if _, err := CreateKeyring(t.Context(), KeyConfig{Source: "env:AGENTAUDIT_TEST_KEYRING"}); err == nil {
		t.Error("a variable was created")
	}
	if _, err := OpenKeyring(t.Context(), KeyConfig{Source: "env:AGENTAUDIT_TEST_NO_KEYRING"}); err == nil || !strings.Contains(err.Error(), "not set") {
		t.Errorf("no variable: %v", err)
	}
}

func TestKeyringRefused(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, kekBytes))
	good := `{"v":1,"generations":[{"number":1,"created":"2026-11-20T00:00:00Z","key":"` + key + `"}]}`
	f := func(content string, mode fs.FileMode, want string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "keyring")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenKeyring(t.Context(), KeyConfig{Source: "file:" + path})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q, mode %v: %v, want %q", content, mode, err, want)
		} else if strings.Contains(err.Error(), key) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("secret in the error: %v", err)
		}
	}
	f(good, 0o640, "chmod 600")
	f(good, 0o604, "chmod 600")
	f(good, 0o620, "chmod 600")
	f("", 0o600, "not a keyring")
	f("hunter2", 0o600, "not a keyring")
	f(good+good, 0o600, "follows the keyring")
	f(strings.Replace(good, `"v":1`, `"v":2`, 1), 0o600, "version 2")
	f(strings.Replace(good, `"v":1`, `"v":1,"hunter2":1`, 1), 0o600, "not a keyring")
	f(strings.Replace(good, key, "AAAA", 1), 0o600, "3 bytes")
	f(strings.Replace(good, `"number":1`, `"number":0`, 1), 0o600, "generation 0")
	f(`{"v":1,"generations":[]}`, 0o600, "0 generations")

	for _, source := range []string{"", "file:", "env:", "hunter2", "http:hunter2"} {
		if _, err := OpenKeyring(t.Context(), KeyConfig{Source: source}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("source %q: %v", source, err)
		}
	}
	if _, err := OpenKeyring(t.Context(), KeyConfig{Source: "file:" + filepath.Join(t.TempDir(), "none")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// A process was killed between writing the new keyring and renaming it.
func TestKeyringLeftHalfWritten(t *testing.T) {
	k, cfg := newKeyring(t)
	path := strings.TrimPrefix(cfg.Source, "file:")
	left := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new-123")
	if err := os.WriteFile(left, []byte(`{"v":1,"gener`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	if n, err := k.Rotate(t.Context()); n != 2 || err != nil {
		t.Errorf("Rotate: %d, %v", n, err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// Processes that rotate at the same time lose none of the generations.
func TestRotateAtTheSameTime(t *testing.T) {
	_, cfg := newKeyring(t)
	const n = 8
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			k, err := OpenKeyring(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := k.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	k, err := OpenKeyring(t.Context(), cfg)
	if err != nil || len(k.Generations()) != n+1 || k.newest() != n+1 {
		t.Errorf("generations %v, %v", numbers(k), err)
	}
}
