package acceptance

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/testlog"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// TestPrune drops months of a log by the command line, beside a system that runs, and has what remains checked with a checkpoint from before.
func TestPrune(t *testing.T) {
	u := uptest.Start(t, "")
	e := u.Endpoints(t)
	cfg := store.DefaultConfig()
	cfg.Addresses, cfg.User, cfg.Password = []string{e.ClickHouse}, e.ClickHouseUser, e.ClickHousePassword
	stored, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Close()
	// A log from before, whose topic nobody reads any more.
	const name = "old.events/0"
	log := testlog.Open(t, stored, "local", name)
	log.Epoch(202601)
	log.Add(3000)
	log.Epoch(202602)
	log.Add(3000)
	log.Epoch(202603)
	log.Add(100)
	covered := func() bool {
		var logs []struct {
			Log            string `json:"log"`
			CheckpointSize uint64 `json:"checkpoint_size"`
		}
		r := u.Run(t, "", "log", "list", "--json")
		if r.Code != 0 || json.Unmarshal([]byte(r.Stdout), &logs) != nil {
			return false
		}
		for _, l := range logs {
			if l.Log == name {
				return l.CheckpointSize == log.Head().Size
			}
		}
		return false
	}
	testkit.Eventually(t, time.Minute, covered, "a checkpoint covers the log")
	kept := filepath.Join(t.TempDir(), "checkpoint")
	if err := os.WriteFile(kept, []byte(u.Good(t, "", "checkpoint", "--log", name)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	if said := u.Good(t, "", "log", "prune", "--before", "2026-03"); !strings.Contains(said, "nothing was dropped") || !strings.Contains(said, name) {
		t.Errorf("without --yes: %s", said)
	}
	f := func(what string, flags ...string) {
		t.Helper()
		var done []struct {
			Log     string `json:"log"`
			What    string `json:"what"`
			Behind  uint64 `json:"behind"`
			Entries uint64 `json:"entries"`
			Done    bool   `json:"done"`
		}
		args := append([]string{"log", "prune", "--yes", "--json"}, flags...)
		if err := json.Unmarshal([]byte(u.Good(t, "", args...)), &done); err != nil || len(done) != 1 || done[0].Log != name || !done[0].Done || done[0].What != what {
			t.Errorf("%v: %+v, %v", flags, done, err)
		}
		u.Good(t, "", "verify", "--deep", "--checkpoint", kept)
	}
	f("contents", "--before", "2026-03", "--contents")
	f("entries", "--before", "2026-02", "--reason", "contract ended")
	out := filepath.Join(t.TempDir(), "export")
	u.Good(t, "", "log", "export", "--log", name, "--out", out)
	args := []string{"verify", "--folder", out, "--checkpoint", kept, "--key", e.VerifierKeys[0]}
	if said := u.Good(t, "", args...); !strings.Contains(said, "entries 256 to 2815 were pruned") {
		t.Errorf("of the exported folder: %s", said)
	}
	if found := u.Good(t, "", "query", "SELECT count() FROM events WHERE type = 'retention.prune'"); found != "2" {
		t.Errorf("%s records of two prunes", found)
	}
}
