package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/apikey"
)

// A key is shown once, listed without its secret, and revoked once.
func TestAPIKeyCommands(t *testing.T) {
	dir := t.TempDir()
	where := []string{"--set", "keys.source=file:" + filepath.Join(dir, "keyring"), "--set", "vault.path=" + filepath.Join(dir, "vault.db")}
	good := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := run(nil, append(args, where...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, %s", args, code, stderr)
		}
		return stdout
	}
	good("keys", "create")
	plain := strings.TrimSpace(good("apikey", "add", "--role", "viewer"))
	if _, err := apikey.Parse(plain); err != nil {
		t.Fatalf("printed %q", plain)
	}
	var made apikeyLine
	if err := json.Unmarshal([]byte(good("apikey", "add", "--role", "dpo", "--tenant", "acme", "--name", "ticket\x1bdesk", "--expires", "2199-01-01", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	if _, err := apikey.Parse(made.Key); err != nil || made.Role != "dpo" || made.Tenant != "acme" || made.Expires != "2199-01-01T00:00:00Z" || !made.Active {
		t.Errorf("got %+v", made)
	}
	list := good("apikey", "list")
	if strings.Count(list, "\n") != 2 || strings.Contains(list, apikey.Prefix) || strings.Contains(list, "\x1b") || !strings.Contains(list, made.ID) {
		t.Errorf("the list:\n%s", list)
	}
	good("apikey", "revoke", made.ID)
	var keys []apikeyLine
	if err := json.Unmarshal([]byte(good("apikey", "list", "--json")), &keys); err != nil || len(keys) != 2 || !keys[0].Active || keys[1].Active || keys[1].Key != "" {
		t.Errorf("%+v, %v", keys, err)
	}
	if code, _, stderr := run(nil, append([]string{"apikey", "revoke", made.ID}, where...)...); code != 2 || !strings.Contains(stderr, "revoked already") {
		t.Errorf("revoked twice: %d, %s", code, stderr)
	}
}
