package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// vaultOnly returns flags for a vault of its own, with nothing else there.
func vaultOnly(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	flags := []string{"--set", "keys.source=file:" + filepath.Join(dir, "keyring"), "--set", "vault.path=" + filepath.Join(dir, "vault.db")}
	if code, _, stderr := run(nil, append([]string{"keys", "create"}, flags...)...); code != 0 {
		t.Fatal(stderr)
	}
	return flags
}

// The consent commands need the vault only; exit codes say what holds.
func TestConsentCommands(t *testing.T) {
	flags := vaultOnly(t)
	f := func(wantCode int, wantOut, wantErr string, args ...string) string {
		t.Helper()
		code, stdout, stderr := run(nil, append(append([]string{"gdpr", "consent"}, args...), flags...)...)
		if code != wantCode || !strings.Contains(stdout, wantOut) || !strings.Contains(stderr, wantErr) {
			t.Errorf("%q: exit code %d, %q, %q; want %d, %q, %q", args, code, stdout, stderr, wantCode, wantOut, wantErr)
		}
		return stdout
	}
	of := func(verb string, more ...string) []string {
		return append([]string{verb, "--tenant", "acme", "--user", "mia@example.com"}, more...)
	}
	ads := func(verb string, more ...string) []string {
		return of(verb, append(more, "--purpose", "ads.e-mail")...)
	}
	f(1, "nothing was said about ads.e-mail", "", ads("check")...)
	f(1, "", "nobody of that name", ads("withdraw")...)
	f(0, "there are no consents", "nobody of that name", of("list")...)
	f(0, "granted since", "", ads("grant", "--reference", "form 12", "--id", "a")...)
	f(0, "granted since", "came before", ads("grant", "--reference", "form 12", "--id", "a")...)
	f(2, "", "another change", ads("withdraw", "--id", "a")...)
	f(0, "granted since", "", ads("check")...)
	f(0, `"granted":true,"state":"granted"`, "", ads("check", "--json")...)
	f(0, "withdrawn since", "", ads("withdraw")...)
	f(1, "withdrawn since", "", ads("check")...)
	f(1, `"granted":false,"state":"withdrawn"`, "", ads("check", "--json")...)
	f(1, `"granted":false,"state":"none"`, "", of("check", "--json", "--purpose", "other")...)
	f(0, "form 12", "", of("list")...)
	f(0, "there are no consents", "", of("list", "--purpose", "other")...)
	f(0, "[]", "nobody", "list", "--tenant", "acme", "--user", "eve", "--json")
	var list []gdpr.Consent
	if err := json.Unmarshal([]byte(f(0, "", "", of("list", "--json")...)), &list); err != nil || len(list) != 1 || list[0].Changes != 2 || len(list[0].History) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
	f(2, "", "a purpose is", of("grant", "--purpose", "Mia Example")...)
	f(2, "", "a purpose is", of("check", "--purpose", "Mia Example")...)
	f(2, "", "--purpose", of("list", "--purpose", "Mia Example")...)
	f(2, "", "no event can name this person", "grant", "--tenant", "a/b", "--user", "mia", "--purpose", "ads")
	f(2, "", "tenant and a user", "grant", "--tenant", "acme", "--user", "", "--purpose", "ads")
	f(2, "", "more than 1024 bytes", ads("grant", "--reference", strings.Repeat("x", 1025))...)
}
