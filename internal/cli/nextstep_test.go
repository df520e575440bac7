package cli_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// What cannot be done says what to do instead: tried by somebody who knew nothing of it, each of these told nothing, or something else.
func TestErrorsSayWhatToDo(t *testing.T) {
	u := uptest.Start(t, "", "--partitions", "1", "--quiet")
	u.Good(t, wire(1, "mia@example.com"), "emit")
	awaitEvents(t, u, 1)
	testkit.Eventually(t, time.Minute, func() bool {
		return u.Run(t, "", "prove", "01920000-0000-7000-8000-000000000001").Code == 0
	}, "a checkpoint covers the event")

	f := func(says string, args ...string) {
		t.Helper()
		if r := u.Run(t, "", args...); r.Code != 2 || !strings.Contains(r.Stderr, says) {
			t.Errorf("%q: %+v; want %q", args, r, says)
		}
	}
	f("no checkpoint of agent.events/7: 'log list' prints the logs", "checkpoint", "--log", "agent.events/7")
	f("exporter.witnesses", "checkpoint", "--witnessed", "--log", "agent.events/0")
	f("exporter.witnesses", "prove", "--witnessed", "--log", "agent.events/0", "--seq", "1")
	out := filepath.Join(t.TempDir(), "export")
	u.Good(t, "", "log", "export", "--out", out)
	f("remove it or take another folder", "log", "export", "--out", out)

	id := strings.TrimSpace(u.Good(t, "", "gdpr", "hold", "add", "--tenant", "acme", "--user", "mia@example.com", "--reason", "case 12", "--expires", "2099-06-30"))
	if list := u.Good(t, "", "gdpr", "hold", "list"); !strings.HasPrefix(list, id+"  holds until 2099-06-30  of ") {
		t.Errorf("holds %q", list)
	}
	u.Stop(t)
	f("nothing runs on", "query", "SELECT 1")
}
