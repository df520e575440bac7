package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// What the commands about requests, holds, pseudonyms and keys print, against the programs as they run.
func TestCommandsAboutRequests(t *testing.T) {
	u := uptest.Start(t, "", "--partitions", "1", "--quiet")
	u.Good(t, wire(1, "mia@example.com", "noah@example.com")+wire(2, "noah@example.com"), "emit")
	awaitEvents(t, u, 2)
	mia := []string{"--tenant", "acme", "--user", "mia@example.com"}

	// endpoints.json follows the keys while everything runs.
	if text := u.Good(t, "", "keys", "rotate"); !strings.Contains(text, "made key") {
		t.Error(text)
	}
	testkit.Eventually(t, time.Minute, func() bool { return len(u.Endpoints(t).VerifierKeys) == 2 }, "endpoints.json has the new key")

	id := strings.Fields(u.Good(t, "", append([]string{"gdpr", "erase", "--verified-by", ""}, mia...)...))[0]
	one := func(want string, args ...string) string {
		t.Helper()
		text := u.Good(t, "", args...)
		if strings.Count(text, "\n") != 0 || !strings.Contains(text, want) {
			t.Errorf("%v: %q, want one line with %q", args, text, want)
		}
		return text
	}
	one("received", "gdpr", "extend", id, "--reason", "there are many")
	var line struct {
		ID     string `json:"request_id"`
		Status string `json:"status"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(one(id, "gdpr", "cancel", id, "--reason", "a mistake", "--json")), &line); err != nil || line.ID != id || line.Status != "cancelled" || line.Reason != "a mistake" {
		t.Errorf("%+v, %v", line, err)
	}
	if r := u.Run(t, "", "gdpr", "status", id); r.Code != 1 || !strings.Contains(r.Stdout, "cancelled") {
		t.Errorf("%+v", r)
	}
	if r := u.Run(t, "", "gdpr", "status", "01920000-0000-7000-8000-000000000099"); r.Code != 2 {
		t.Errorf("%+v", r)
	}
	if r := u.Run(t, "", "gdpr", "status", "--help"); !strings.Contains(r.Stdout, "Exit code 0") {
		t.Errorf("%+v", r)
	}

	hold := u.Good(t, "", append([]string{"gdpr", "hold", "add", "--reason", "case 12"}, mia...)...)
	if text := one(hold, "gdpr", "hold", "remove", hold); !strings.Contains(text, "lifted") {
		t.Error(text)
	}
	hold = u.Good(t, "", append([]string{"gdpr", "hold", "add", "--reason", "case 13"}, mia...)...)
	if text := one(hold, "gdpr", "hold", "remove", "--json", hold); !strings.Contains(text, `"active":false`) {
		t.Error(text)
	}

	// From a pseudonym to events, and, if the log says so first, to who it is.
	subject := u.Good(t, "", "query", "SELECT DISTINCT subject FROM events WHERE event_id = '01920000-0000-7000-8000-000000000001'")
	events := u.Good(t, "", "events", "--subject", subject)
	if strings.Contains(events, "mia") || strings.Contains(events, "noah") || !strings.Contains(events, subject) || strings.Count(events, "tool.call") != 1 {
		t.Errorf("%s", events)
	}
	for _, args := range [][]string{
		{"--subject", subject, "--reveal"}, {"--subject", subject, "--reason", "r"}, {"--subject", subject, "--content"}, {"--reveal", "--reason", "r"}, {"--subject", "mia"},
		{"--subject", subject, "--user", "mia@example.com"},
	} {
		if r := u.Run(t, "", append([]string{"events"}, args...)...); r.Code != 2 || r.Stdout != "" {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if n := u.Good(t, "", "query", "SELECT count() FROM events WHERE type = 'audit.read'"); n != "0" {
		t.Errorf("%s entries say that something was read", n)
	}
	if text := u.Good(t, "", "events", "--subject", subject, "--reveal", "--reason", "incident 7", "--content"); !strings.Contains(text, "mia@example.com") ||
		!strings.Contains(text, "words of mia") || strings.Contains(text, "words of noah") {
		t.Errorf("%s", text)
	}
	if entry := entriesOf(t, u, "audit.read", 1); !strings.Contains(entry, "incident 7") || !strings.Contains(entry, subject) || testkit.Mentions(entry, "mia") {
		t.Errorf("%s", entry)
	}

	if text := u.Good(t, "", "vault", "check"); text != "every row was written by our processes" {
		t.Error(text)
	}
	if text := u.Good(t, "", "verify"); strings.Contains(text, "1 logs") || strings.Contains(text, "1 entries in") {
		t.Error(text)
	}

	// The vault alone answers: here nothing else runs.
	u.Stop(t)
	one(id, "gdpr", "list")
	if r := u.Run(t, "", "gdpr", "status", id); r.Code != 1 || !strings.Contains(r.Stdout, "cancelled") {
		t.Errorf("%+v", r)
	}
}
