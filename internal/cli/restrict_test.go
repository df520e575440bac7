package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// What is printed of somebody whose data is restricted, and that nothing of it is printed before the log says so.
func TestRestrictCommands(t *testing.T) {
	u := uptest.Start(t, "", "--partitions", "1", "--quiet")
	u.Good(t, wire(1, "mia@example.com")+wire(2, "noah@example.com", "mia@example.com")+wire(3, "noah@example.com"), "emit")
	awaitEvents(t, u, 3)
	mia := []string{"--tenant", "acme", "--user", "mia@example.com"}
	if text := u.Good(t, "", append([]string{"gdpr", "restrict", "--wait"}, mia...)...); !strings.Contains(text, "restriction completed") {
		t.Error(text)
	}
	if r := u.Run(t, "", "gdpr", "restrict", "--wait", "--tenant", "acme", "--user", "eve"); r.Code != 1 || !strings.Contains(r.Stdout, "nobody of that name is known") {
		t.Errorf("%+v", r)
	}
	hidden := u.Good(t, "", "events", "--content", "--type", "tool.call")
	if strings.Contains(hidden, "mia") || strings.Count(hidden, "(restricted)") != 3 || strings.Count(hidden, "words of noah") != 1 {
		t.Errorf("%s", hidden)
	}
	var events []struct {
		User         string `json:"user"`
		Restricted   bool   `json:"restricted"`
		ContentState string `json:"content_state"`
	}
	asJSON := u.Good(t, "", "events", "--content", "--type", "tool.call", "--json")
	if err := json.Unmarshal([]byte(asJSON), &events); err != nil || len(events) != 3 || events[0].User != "" || !events[0].Restricted || events[0].ContentState != "restricted" ||
		events[1].User == "" || events[1].Restricted || events[1].ContentState != "restricted" || strings.Contains(asJSON, "mia") {
		t.Errorf("%s, %v", asJSON, err)
	}
	if n := u.Good(t, "", "query", "SELECT count() FROM events WHERE type = 'audit.read'"); n != "0" {
		t.Errorf("%s entries say that something was read", n)
	}
	if text := u.Good(t, "", "events", "--content", "--type", "tool.call", "--as-dpo"); strings.Contains(text, "restricted") || strings.Count(text, "words of mia") != 1 {
		t.Errorf("%s", text)
	}
	if entry := entriesOf(t, u, "audit.read", 1); !strings.Contains(entry, `"restricted":"shown"`) || testkit.Mentions(entry, "mia") {
		t.Errorf("the entry about the reading: %s", entry)
	}
	unrestrict := append([]string{"gdpr", "unrestrict", "--reason", "the data were corrected"}, mia...)
	u.Good(t, "", unrestrict...)
	if r := u.Run(t, "", unrestrict...); r.Code != 2 || !strings.Contains(r.Stderr, "nobody of that name is restricted") {
		t.Errorf("%+v", r)
	}
	if text := u.Good(t, "", "events", "--content", "--type", "tool.call"); strings.Contains(text, "restricted") || strings.Count(text, "words of mia") != 1 {
		t.Errorf("%s", text)
	}
	steps := entriesOf(t, u, "gdpr.restriction", 2)
	if strings.Contains(steps, "example.com") {
		t.Errorf("%s", steps)
	}
}
