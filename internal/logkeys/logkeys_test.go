package logkeys

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

func load(t *testing.T, folder string) *Folder {
	t.Helper()
	f, err := Load(folder, "acme/prod")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A key is replaced: both sign for a while, and what the first has signed can be checked for ever.
func TestRotation(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "keys [1]")
	if f := load(t, folder); len(f.Keys()) != 0 || len(f.Signers()) != 0 {
		t.Errorf("an empty folder has %+v", f.Keys())
	}
	first, err := Create(folder, "acme/prod")
	if err != nil {
		t.Fatal(err)
	}
	point := chain.Checkpoint{Deployment: "acme/prod", Log: "agent.events/0", Size: 3}
	old, err := point.Sign(load(t, folder).Signers()...)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Create(folder, "acme/prod")
	if err != nil {
		t.Fatal(err)
	}
	both, err := point.Sign(load(t, folder).Signers()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, vkey := range []string{first.VKey, second.VKey} {
		known, err := Verifiers([]string{vkey})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := chain.OpenCheckpoint(both, known); err != nil {
			t.Errorf("signed by both keys: %v", err)
		}
	}
	if err := Retire(folder, "acme/prod", first.ID); err != nil {
		t.Fatal(err)
	}
	f := load(t, folder)
	if signers := f.Signers(); len(signers) != 1 || len(f.Keys()) != 2 {
		t.Errorf("%d sign of %+v", len(signers), f.Keys())
	}
	// As a shell makes one word of what 'keys list' prints.
	if known, err := Verifiers([]string{strings.Join(f.VKeys(), "\n")}); err != nil {
		t.Error(err)
	} else if _, _, err := chain.OpenCheckpoint(old, known); err != nil {
		t.Errorf("both keys in one string: %v", err)
	}
	known, err := Verifiers(f.VKeys())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := chain.OpenCheckpoint(old, known); err != nil {
		t.Errorf("signed before the rotation: %v", err)
	}
	for _, id := range []string{first.ID, second.ID, "00000000"} {
		if err := Retire(folder, "acme/prod", id); err == nil {
			t.Errorf("retired %s: gone, the last one, or unknown", id)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, spoil := range map[string]func(folder string, key Key) error{
		"open to others": func(d string, k Key) error { return os.Chmod(filepath.Join(d, k.ID+".key"), 0o640) },
		"no public half": func(d string, k Key) error { return os.Remove(filepath.Join(d, k.ID+".vkey")) },
		"broken private half": func(d string, k Key) error {
			return os.WriteFile(filepath.Join(d, k.ID+".key"), []byte("secret"), 0o600)
		},
		"broken public half": func(d string, k Key) error { return os.WriteFile(filepath.Join(d, k.ID+".vkey"), []byte("x"), 0o600) },
		"empty private half": func(d string, k Key) error { return os.Truncate(filepath.Join(d, k.ID+".key"), 0) },
		"another name": func(d string, k Key) error {
			return os.Rename(filepath.Join(d, k.ID+".vkey"), filepath.Join(d, "0.vkey"))
		},
		"other deployment": func(d string, k Key) error {
			_, err := Create(d, "acme/test")
			return err
		},
		"halves of two keys": func(d string, k Key) error {
			other, err := Create(d, "acme/prod")
			if err != nil {
				return err
			}
			return os.Rename(filepath.Join(d, other.ID+".key"), filepath.Join(d, k.ID+".key"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			key, err := Create(folder, "acme/prod")
			if err != nil {
				t.Fatal(err)
			}
			private, err := os.ReadFile(filepath.Join(folder, key.ID+".key"))
			if err != nil {
				t.Fatal(err)
			}
			if err := spoil(folder, key); err != nil {
				t.Fatal(err)
			}
			_, err = Load(folder, "acme/prod")
			if err == nil {
				t.Fatal("loaded")
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), string(bytes.TrimSpace(private))) {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
	if _, err := Create(t.TempDir(), "acme prod"); err == nil {
		t.Error("made a key for what is no deployment")
	}
	made, err := Create(t.TempDir(), "acme/prod")
	if err != nil {
		t.Fatal(err)
	}
	good := made.VKey
	for says, wrong := range map[string][]string{"key 1 is no": {"x"}, "key 2 is no": {good + "\n" + good[:len(good)-1] + "x"}, "key 2 is empty": {good, "\n"}} {
		if _, err := Verifiers(wrong); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), good) {
			t.Errorf("%q: %v; want %q", wrong, err, says)
		}
	}
}
