package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// awaitCovered waits until every entry of every log is below a checkpoint.
func awaitCovered(t *testing.T, u *uptest.Up) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() bool {
		r := u.Run(t, "", "log", "list", "--json")
		var logs []struct {
			Log            string `json:"log"`
			Size           uint64 `json:"size"`
			CheckpointSize uint64 `json:"checkpoint_size"`
		}
		if r.Code != 0 || json.Unmarshal([]byte(r.Stdout), &logs) != nil {
			return false
		}
		for _, log := range logs {
			if strings.HasPrefix(log.Log, "agent.events/") && log.CheckpointSize < log.Size {
				return false
			}
		}
		return true
	}, "all entries are below a checkpoint")
}

// sendCovered sends events and waits until they are sealed and signed for.
func (l *load) sendCovered(t *testing.T, u *uptest.Up) {
	t.Helper()
	if err := l.send(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	l.awaitSealed(t, u)
	awaitCovered(t, u)
}

// TestRestoredFolder puts an older copy of everything in the place of the folder: it is right in itself, and only a checkpoint that was kept somewhere else
// knows that there was more.
func TestRestoredFolder(t *testing.T) {
	dir, older := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older")
	u := uptest.Start(t, dir)
	l := newLoad(t, u)
	l.sendCovered(t, u)
	u.Stop(t)
	if err := os.CopyFS(older, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	u = uptest.Start(t, dir)
	l = newLoad(t, u)
	l.sendCovered(t, u)
	kept := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(kept, []byte(u.Good(t, "", "checkpoint")), 0o600); err != nil {
		t.Fatal(err)
	}
	u.Good(t, "", "verify", "--deep", "--checkpoint", kept)
	u.Stop(t)

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	private(t, dir)
	u = uptest.Start(t, dir)
	if r := u.Run(t, "", "verify", "--deep"); r.Code != 0 {
		t.Errorf("the older copy by itself: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	r := u.Run(t, "", "verify", "--checkpoint", kept)
	if r.Code != 1 || !strings.Contains(r.Stdout, "agent.events/0") || !strings.Contains(r.Stdout, "the log ends here, but a checkpoint that was kept has") {
		t.Errorf("with a checkpoint that was kept: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// private takes others' access away, which a copy has given them.
func private(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRolledBackClickHouse restores ClickHouse alone: nothing goes on top of what is left, neither entries nor signatures.
func TestRolledBackClickHouse(t *testing.T) {
	dir, older := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "older")
	tables := filepath.Join(dir, "clickhouse")
	u := uptest.Start(t, dir)
	l := newLoad(t, u)
	l.sendCovered(t, u)
	u.Stop(t)
	if err := os.CopyFS(older, os.DirFS(tables)); err != nil {
		t.Fatal(err)
	}
	u = uptest.Start(t, dir)
	l = newLoad(t, u)
	l.sendCovered(t, u)
	before := u.Good(t, "", "checkpoint", "--log", l.topic+"/0")
	u.Stop(t)
	if err := os.RemoveAll(tables); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(tables, os.DirFS(older)); err != nil {
		t.Fatal(err)
	}
	private(t, tables)
	u = uptest.Start(t, dir)
	testkit.Eventually(t, time.Minute, func() bool {
		return strings.Contains(u.Output(), "verification failed") && strings.Contains(u.Output(), "rollback")
	}, "the exporter and ingest say so")
	if after := u.Good(t, "", "checkpoint", "--log", l.topic+"/0"); after != before {
		t.Errorf("signed on top of a rollback:\n%s", after)
	}
	if r := u.Run(t, "", "verify"); r.Code != 1 || !strings.Contains(r.Stdout, "truncated or rolled back") {
		t.Errorf("verify: exit code %d\n%s", r.Code, r.Stdout)
	}
}

// TestRestoredVault restores the vault alone. Nothing in it contradicts ClickHouse, but checkpoints were published that it has forgotten: no log that they are of
// is signed for again, until it is reopened.
func TestRestoredVault(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	vaultFile := filepath.Join(dir, "vault.db")
	u := uptest.Start(t, dir)
	l := newLoad(t, u)
	l.sendCovered(t, u)
	u.Stop(t)
	older, err := os.ReadFile(vaultFile) // the vault was closed: there is no journal beside it
	if err != nil {
		t.Fatal(err)
	}
	u = uptest.Start(t, dir)
	l = newLoad(t, u)
	l.sendCovered(t, u)
	published, n := l.published(t)
	if n == 0 {
		t.Fatal("nothing was published")
	}
	u.Stop(t)

	for _, journal := range []string{"-wal", "-shm"} {
		_ = os.Remove(vaultFile + journal) // they are gone already if the vault was closed
	}
	if err := os.WriteFile(vaultFile, older, 0o600); err != nil {
		t.Fatal(err)
	}
	u = uptest.Start(t, dir)
	l = newLoad(t, u)
	forgotten := func() int { return strings.Count(u.Output(), "the vault went back: its checkpoint has ") }
	testkit.Eventually(t, time.Minute, func() bool { return forgotten() >= partitions }, "the exporter says so of each log")
	if err := l.send(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	l.awaitSealed(t, u) // ingest goes on
	before := u.Good(t, "", "checkpoint")
	u.Good(t, "", "verify") // nothing that is here contradicts anything else
	if r := u.Run(t, "", "verify", "--checkpoint", published); r.Code != 1 || strings.Count(r.Stdout, "it was replaced by an older one") < partitions {
		t.Errorf("verify with what was published: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}

	for p := range partitions {
		u.Good(t, "", "log", "reopen", "--log", l.topic+"/"+strconv.Itoa(p), "--reason", "the vault was restored")
	}
	if err := l.send(t.Context(), 400); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, time.Minute, func() bool {
		r := u.Run(t, "", "log", "list", "--json")
		var logs []struct {
			Log            string `json:"log"`
			Size           uint64 `json:"size"`
			CheckpointSize uint64 `json:"checkpoint_size"`
		}
		if r.Code != 0 || json.Unmarshal([]byte(r.Stdout), &logs) != nil {
			return false
		}
		covered := 0
		for _, log := range logs {
			if strings.HasPrefix(log.Log, l.topic+"/") && strings.HasSuffix(log.Log, ".1") && log.Size > 1 && log.CheckpointSize == log.Size {
				covered++
			}
		}
		return covered == partitions
	}, "the successors are below checkpoints")
	u.Good(t, "", "verify", "--deep")
	for p := range partitions { // the old logs stay as they were
		log := l.topic + "/" + strconv.Itoa(p)
		if signed := u.Good(t, "", "checkpoint", "--log", log); !strings.Contains(before, signed) {
			t.Errorf("signed on top of the restored checkpoint of %s:\n%s", log, signed)
		}
	}
}
