package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// wire is an event of a user of acme, whose data subjects are others.
func wire(number int, user string, others ...string) string {
	touched := ""
	if len(others) > 0 {
		touched = `"data_subjects":["` + strings.Join(others, `","`) + `"],`
	}
	return fmt.Sprintf(`{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"2026-11-20T21:14:%02dZ","type":"tool.call","action":"search","outcome":"success",`+
		`"tenant":"acme","user_id":%q,%s"agent":{"id":"bot-7"},"content":{"input":"words of %s"}}`+"\n", number, number, user, touched, user)
}

// entriesOf waits until so many entries of a type stand in the log, and returns them.
func entriesOf(t *testing.T, u *uptest.Up, typ string, n int) string {
	t.Helper()
	var entries string
	testkit.Eventually(t, time.Minute, func() bool {
		entries = u.Good(t, "", "query", "SELECT entry FROM events WHERE kind = 'system' AND type = '"+typ+"' ORDER BY sealed_at")
		return strings.Count(entries, `"log":`) == n
	}, fmt.Sprintf("%d entries of type %s", n, typ))
	return entries
}

// awaitEvents waits until so many events of people are sealed.
func awaitEvents(t *testing.T, u *uptest.Up, n int) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() bool {
		return u.Good(t, "", "query", "SELECT count() FROM events WHERE kind = 'event'") == fmt.Sprint(n)
	}, "the events are sealed")
}

// The commands about breaches, from the first word to the report, against the programs as they run.
func TestBreachCommands(t *testing.T) {
	u := uptest.Start(t, "", "--partitions", "1", "--quiet")
	u.Good(t, wire(1, "mia@example.com", "noah@example.com")+wire(2, "mia@example.com")+wire(3, "ada@example.com"), "emit")
	awaitEvents(t, u, 3)

	list := filepath.Join(t.TempDir(), "ids")
	const stranger = "01920000-0000-7000-8000-000000000099"
	if err := os.WriteFile(list, []byte("01920000-0000-7000-8000-000000000003\n\n"+stranger+"\n01920000-0000-7000-8000-000000000003\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var opened struct {
		Breach    string   `json:"breach"`
		Remaining float64  `json:"remaining_seconds"`
		NotFound  []string `json:"not_found"`
		Opening   struct {
			Entries, Subjects int
		} `json:"at_opening"`
	}
	r := u.Run(t, "", "gdpr", "breach", "open", "--reason", "mail went to the wrong person", "--entries", list, "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &opened); r.Code != 0 || err != nil || len(opened.NotFound) != 1 || opened.NotFound[0] != stranger || opened.Opening.Entries != 1 ||
		!strings.Contains(r.Stderr, "not found: "+stranger) {
		t.Fatalf("%+v, %v", r, err)
	}
	first := opened.Breach
	if r := u.Run(t, stranger, "gdpr", "breach", "open", "--reason", "r", "--entries", "-"); r.Code != 2 || !strings.Contains(r.Stderr, "none of these events is stored") {
		t.Errorf("%+v", r)
	}
	text := u.Good(t, "", "gdpr", "breach", "open", "--reason", "the key of agent bot-7 was stolen", "--since", "2026-11-20T21:00:00Z", "--until", "2026-11-21T00:00:00Z",
		"--agent", "bot-7", "--detected", "71h", "--set", "privacy.breach_notice=70h")
	for _, want := range []string{"open", "0h59m overdue|1h00m overdue", "agent bot-7", "3 entries about 3 people \\(0 of them erased\\)"} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s is not in %q", want, text)
		}
	}
	id, _, _ := strings.Cut(text, " ")

	u.Good(t, "", "gdpr", "erase", "--tenant", "acme", "--user", "ada@example.com", "--wait")
	status := u.Good(t, "", "gdpr", "breach", "status", id, "--subjects")
	if !strings.Contains(status, "now: 3 entries about 3 people (1 of them erased)") || strings.Count(status, "acted") != 3 || strings.Contains(status, "example.com") {
		t.Errorf("%s", status)
	}
	if n := u.Good(t, "", "query", "SELECT count() FROM events WHERE type = 'audit.read'"); n != "0" {
		t.Errorf("%s entries say that names were read", n)
	}
	var named struct {
		People []struct {
			User    string `json:"user"`
			Acted   int    `json:"acted"`
			Touched int    `json:"touched"`
			Erased  bool   `json:"erased"`
		} `json:"people"`
	}
	if err := json.Unmarshal([]byte(u.Good(t, "", "gdpr", "breach", "status", id, "--identities", "--json")), &named); err != nil || len(named.People) != 3 {
		t.Fatalf("%+v, %v", named, err)
	}
	for _, p := range named.People {
		if want := fmt.Sprint(map[string][2]int{"mia@example.com": {2, 0}, "noah@example.com": {0, 1}, "": {1, 0}}[p.User]); fmt.Sprintf("[%d %d]", p.Acted, p.Touched) != want || p.Erased != (p.User == "") {
			t.Errorf("%+v, want %s", p, want)
		}
	}
	if entry := entriesOf(t, u, "audit.read", 1); !strings.Contains(entry, id) || strings.Contains(entry, "example.com") {
		t.Errorf("the entry about the names: %s", entry)
	}

	if r := u.Run(t, "", "gdpr", "breach", "notice", id, "--to", "neighbours", "--reference", "r"); r.Code != 2 {
		t.Errorf("%+v", r)
	}
	if text := u.Good(t, "", "gdpr", "breach", "notice", id, "--to", "authority", "--reference", "case 12"); !strings.Contains(text, "notified") {
		t.Error(text)
	}
	lines := u.Good(t, "", "gdpr", "breach", "list")
	if !strings.Contains(lines, first+"  open ") || !strings.Contains(lines, "71h59m left") || !strings.Contains(lines, id+"  notified") {
		t.Error(lines)
	}
	report := u.Good(t, "", "gdpr", "breach", "close", id, "--reason", "the key was replaced")
	for _, want := range []string{"closed", "the key was replaced", "told authority at", "after the deadline: case 12", "agent.events/0: 3 entries from 1 to 3", "1 of them erased"} {
		if !strings.Contains(report, want) {
			t.Errorf("%s is not in %q", want, report)
		}
	}
	if again := u.Good(t, "", "gdpr", "breach", "status", id); again != report {
		t.Errorf("the report has changed:\n%s\n%s", report, again)
	}
	for _, args := range [][]string{{"notice", id, "--to", "subjects", "--reference", "r"}, {"close", id, "--reason", "r"}} {
		if r := u.Run(t, "", append([]string{"gdpr", "breach"}, args...)...); r.Code != 2 || !strings.Contains(r.Stderr, "closed") {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if !json.Valid([]byte(u.Good(t, "", "gdpr", "breach", "status", id, "--json"))) || !json.Valid([]byte(u.Good(t, "", "gdpr", "breach", "list", "--json"))) {
		t.Error("no JSON")
	}
	steps := entriesOf(t, u, "gdpr.breach", 4)
	if !strings.Contains(steps, `"action":"close"`) || strings.Contains(steps, "example.com") {
		t.Errorf("the steps: %s", steps)
	}
}
