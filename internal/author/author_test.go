package author

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestCreateThenLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "author.key")
	if err := CreateKey(path); err != nil {
		t.Fatal(err)
	}
	if err := CreateKey(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key is made twice: %v", err)
	}
	a, err := Load("exporter-1", path)
	if err != nil {
		t.Fatal(err)
	}
	m := a.Message([]byte(`{"a":1}`))
	if len(m.Headers) != 2 || string(m.Headers[0].Key) != gdpr.HeaderAuthor || string(m.Headers[0].Value) != "exporter-1" {
		t.Fatalf("headers %v", m.Headers)
	}
	sig, err := base64.StdEncoding.DecodeString(string(m.Headers[1].Value))
	if err != nil || !gdpr.VerifySystem(a.key.Public().(ed25519.PublicKey), m.Value, sig) {
		t.Error("the message's signature does not verify")
	}
}

func TestLoadRefuses(t *testing.T) {
	good := strings.Repeat("0f", ed25519.SeedSize)
	f := func(name, content string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		_, err := Load(name, path)
		if err == nil {
			t.Errorf("accepted: name %q, %d bytes, mode %v", name, len(content), mode)
		}
		if err != nil && content != "" && strings.Contains(err.Error(), content) {
			t.Error("the error quotes the key")
		}
	}
	f("", good, 0o600)
	f("a b", good, 0o600)
	f("a", good, 0o644)
	f("a", good[2:], 0o600)
	f("a", good+"00", 0o600)
	f("a", "not hex"+good[7:], 0o600)
	if _, err := Load("a", filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
