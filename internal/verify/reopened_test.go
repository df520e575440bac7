package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/verify"
)

// A reopened log's successor is followed, and both are held against each other.
func TestReopenedLog(t *testing.T) {
	r := newRig(t)
	out := r.up.Good(t, "", "log", "reopen", "--log", theLog, "--reason", "test of reopening")
	if !strings.Contains(out, theLog+".1 goes on at offset 300") {
		t.Errorf("log reopen: %q", out)
	}
	again := r.up.Run(t, "", "log", "reopen", "--log", theLog, "--reason", "again")
	if again.Code != 2 || !strings.Contains(again.Stderr, "reopened already") {
		t.Errorf("reopened twice: exit code %d, %q", again.Code, again.Stderr)
	}
	r.up.Good(t, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-000000009999","time":"2026-11-20T21:14:05Z","type":"tool.call",`+
		`"action":"search","outcome":"success","tenant":"acme","user_id":"u1"}`, "emit")
	testkit.Eventually(t, time.Minute, func() bool {
		report := r.verify(t, verify.Options{})
		return report.OK && len(report.Logs) == 3 && report.Logs[0].Size == r.entries+1 && report.Logs[1].Size == 2
	}, "the successor holds the next event")
	list := r.up.Good(t, "", "log", "list")
	if !strings.Contains(list, theLog+".1") || !strings.Contains(list, "after "+theLog+" (test of reopening)") {
		t.Errorf("log list: %s", list)
	}

	// Without its close entry the old log contradicts what its successor says.
	r.exec(t, fmt.Sprintf("ALTER TABLE audit.events DELETE WHERE log = '%s' AND seq = %d", theLog, r.entries))
	report := r.verify(t, verify.Options{Log: theLog})
	if report.OK || report.Logs[0].FirstBad.Seq != r.entries || !strings.Contains(report.Logs[0].FirstBad.Reason, "truncated") {
		t.Errorf("got %+v", report.Logs[0].FirstBad)
	}
}

// The vault of another deployment is no witness for these logs.
func TestOtherVault(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{
		File: filepath.Join(r.up.Dir, process.ConfigFile),
		Set:  []string{"deployment=other", "vault.path=" + filepath.Join(dir, "vault.db"), "keys.source=file:" + filepath.Join(dir, "keyring")},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.up.Dir, "secrets", "keyring"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keyring"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := process.OpenVault(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	report, err := verify.Run(t.Context(), verify.Deps{Store: r.systems.Store, Vault: other}, verify.Options{Log: theLog, Keys: r.known(t)})
	if err != nil || report.OK || !strings.Contains(report.Logs[0].FirstBad.Reason, "another deployment") {
		t.Errorf("got %+v, %v", report, err)
	}
}
