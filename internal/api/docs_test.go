package api_test

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// The commands of docs/api.md do what it says, one after the other, as they are written there.
func TestDocumentedCommands(t *testing.T) {
	for _, program := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			testkit.Missing(t, program+" is not installed")
		}
	}
	testkit.Kcat(t)
	u := uptest.Start(t, "", "--partitions", "1", "--quiet")
	u.Good(t, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-000000000001","time":"2026-11-20T21:14:05Z","type":"tool.call","action":"search",`+
		`"outcome":"success","tenant":"acme","user_id":"u-4711","content":{"input":"a private matter"}}`, "emit")
	testkit.Eventually(t, time.Minute, func() bool { return strings.Contains(u.Run(t, "", "events", "--user", "u-4711").Stdout, "tool.call") }, "the event is stored")
	testkit.Eventually(t, time.Minute, func() bool { return u.Run(t, "", "prove", "01920000-0000-7000-8000-000000000001").Code == 0 }, "a checkpoint covers it")

	var script string
	for _, block := range uptest.Blocks(uptest.Document(t, "docs/api.md")) {
		script += block.Commands
	}
	here := t.TempDir()
	for name, to := range map[string]string{"bin": uptest.Binaries(t), ".data": u.Dir} {
		if err := os.Symlink(to, filepath.Join(here, name)); err != nil {
			t.Fatal(err)
		}
	}
	r := uptest.Shell(t, here, script)
	out := r.Stdout + r.Stderr
	if r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, out)
	}
	for _, want := range []string{"aak_", "ticket desk", `"user": "u-4711"`, "a private matter", "good: entry", `"api_version":"1.0"`, `"store": "vault"`, `"request_status": "completed"`, "false"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not among what was printed:\n%s", want, out)
		}
	}
	if archive, err := zip.OpenReader(filepath.Join(here, "u-4711.zip")); err != nil {
		t.Error(err)
	} else if err := archive.Close(); err != nil {
		t.Error(err)
	}
	// The request that came over Kafka waits for somebody to verify it.
	testkit.Eventually(t, time.Minute, func() bool {
		list := u.Good(t, "", "gdpr", "list")
		return strings.Contains(list, "export") && strings.Contains(list, "received")
	}, "the request of the topic is there")
	// What was asked stands in the log.
	testkit.Eventually(t, time.Minute, func() bool {
		r := u.Run(t, "", "query", "SELECT count() > 5 AND countIf(type = 'audit.reveal') > 0 FROM events WHERE type LIKE 'audit.%' AND type != 'audit.heartbeat'")
		return strings.TrimSpace(r.Stdout) == "1"
	}, "what was asked stands in the log")
	u.Good(t, "", "verify", "--deep")
}
