package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// TestRealTraffic stores real events of an airline's support agent and looks for its
// customers in everything but the broker's files.
func TestRealTraffic(t *testing.T) {
	file := testkit.SharedData(t, "agent-traffic/airline.jsonl")
	u := uptest.Start(t, "")
	l := newLoad(t, u)
	u.Good(t, "", "emit", file)
	l.awaitSealed(t, u)
	if n := number(t, u, "SELECT count() FROM events WHERE kind = 'event' AND tenant = 'airline'"); n != 4034 {
		t.Errorf("%d events, want 4034", n)
	}
	u.Good(t, "", "verify", "--deep")
	// Every person's events are found again by name.
	wanted := 0
	lines, people := readTraffic(t, file)
	for _, line := range lines {
		if line.UserID == "mia_li_3668" {
			wanted++
		}
	}
	var found []json.RawMessage
	text := u.Good(t, "", "events", "--tenant", "airline", "--user", "mia_li_3668", "--json")
	if err := json.Unmarshal([]byte(text), &found); err != nil || len(found) != wanted {
		t.Errorf("%d events of mia_li_3668, want %d (%v)", len(found), wanted, err)
	}
	u.Stop(t)
	searched := 0
	err := filepath.WalkDir(u.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() { // a link's target is met at its own place
			if d != nil && path == filepath.Join(u.Dir, "kafka") {
				return filepath.SkipDir
			}
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched++
		for _, p := range people {
			if bytes.Contains(content, []byte(p)) {
				t.Errorf("%s holds %q", path, p)
			}
		}
		return nil
	})
	if err != nil || searched < 20 {
		t.Errorf("searched %d files: %v", searched, err)
	}
	t.Logf("%d strings of customers searched for in %d files", len(people), searched)
}

type trafficLine struct {
	UserID  string          `json:"user_id"`
	Content json.RawMessage `json:"content"`
}

// readTraffic returns the events and what names their customers: user ids, names,
// e-mail addresses, birthdays.
func readTraffic(t *testing.T, file string) (lines []trafficLine, people []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	note := func(s string) {
		if len(s) >= 6 && !seen[s] {
			seen[s] = true
			people = append(people, s)
		}
	}
	for raw := range bytes.Lines(data) {
		var line trafficLine
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
		note(line.UserID)
		parts := strings.Split(line.UserID, "_")
		if len(parts) >= 2 {
			note(strings.ToUpper(parts[0][:1]) + parts[0][1:] + " " + strings.ToUpper(parts[1][:1]) + parts[1][1:])
		}
		for _, match := range personal.FindAllString(string(line.Content), -1) {
			note(match)
		}
	}
	return lines, people
}

// TestKcat sends the same event by librdkafka and by agentaudit emit: they stand in
// the same partition with the same columns, under one pseudonym.
func TestKcat(t *testing.T) {
	kcat := testkit.Kcat(t)
	u := uptest.Start(t, "")
	l := newLoad(t, u)
	const rounds = 50
	var byKcat, byEmit bytes.Buffer
	for i := range rounds {
		fmt.Fprintf(&byKcat, "acme/user-%d\t%s\n", i, eventJSON(uuid.NewString(), i))
		fmt.Fprintf(&byEmit, "%s\n", eventJSON(uuid.NewString(), i))
	}
	cmd := exec.CommandContext(t.Context(), kcat, "-P", "-b", u.Endpoints(t).Kafka, "-t", l.topic, "-K", "\t", "-X", "acks=all", "-X", "partitioner=murmur2_random")
	cmd.Stdin = &byKcat
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kcat: %v %s", err, out)
	}
	u.Good(t, byEmit.String(), "emit")
	l.awaitSealed(t, u)
	if n := number(t, u, "SELECT count() FROM events WHERE kind = 'event'"); n != 2*rounds {
		t.Errorf("%d events, want %d", n, 2*rounds)
	}
	twice := number(t, u, "SELECT count() FROM (SELECT subject, log, session_id, type, action, tool, count() AS n FROM events WHERE kind = 'event' GROUP BY ALL HAVING n = 2)")
	if twice != rounds {
		t.Errorf("%d of %d users have both of their events alike", twice, rounds)
	}
	if n := number(t, u, "SELECT count() FROM events WHERE notEmpty(findings)"); n != 0 {
		t.Errorf("%d events have a finding", n)
	}
	u.Good(t, "", "verify")
}

// TestVerifyFindsWhatSQLChanges breaks rows as somebody with the database's password could.
func TestVerifyFindsWhatSQLChanges(t *testing.T) {
	u := uptest.Start(t, "")
	l := newLoad(t, u)
	if err := l.send(t.Context(), 2000); err != nil {
		t.Fatal(err)
	}
	l.awaitSealed(t, u)
	u.Good(t, "", "verify")
	log := l.topic + "/0"
	exec := func(sql string) {
		t.Helper()
		e := u.Endpoints(t)
		server := testkit.ClickHouseServer{URL: e.ClickHouse, User: e.ClickHouseUser, Password: e.ClickHousePassword}
		if err := server.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(fmt.Sprintf("ALTER TABLE audit.events UPDATE entry = replaceOne(entry, 'success', 'failure') WHERE log = '%s' AND seq = 7 SETTINGS mutations_sync = 2", log))
	testkit.Eventually(t, 30*time.Second, func() bool { return u.Run(t, "", "verify", "--log", log).Code == 1 }, "verify finds the changed entry")
	var report struct {
		OK   bool `json:"ok"`
		Logs []struct {
			Log      string `json:"log"`
			FirstBad *struct {
				Seq    uint64 `json:"seq"`
				Reason string `json:"reason"`
			} `json:"first_bad"`
		} `json:"logs"`
	}
	r := u.Run(t, "", "verify", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		t.Fatalf("%v in %s", err, r.Stdout)
	}
	for _, one := range report.Logs {
		switch {
		case one.Log == log && (one.FirstBad == nil || one.FirstBad.Seq != 7 || one.FirstBad.Reason == ""):
			t.Errorf("%s: %+v, want seq 7", one.Log, one.FirstBad)
		case one.Log != log && one.FirstBad != nil:
			t.Errorf("%s is accused of %+v", one.Log, one.FirstBad)
		}
	}
	if r.Code != 1 || report.OK {
		t.Errorf("exit code %d, ok %v", r.Code, report.OK)
	}
}
