package acceptance

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// The customer of the airline who asks to be erased.
const (
	mia     = "mia_li_3668"
	airline = "airline"
)

var (
	passengers   = regexp.MustCompile(`first_name\W+(\w+)\W+last_name\W+(\w+)`)
	reservations = regexp.MustCompile(`reservation_id\W+([A-Z0-9]{6})\b`)
	codes        = regexp.MustCompile(`\b[A-Z0-9]{6}\b`)
)

// airlineTraffic is the airline's traffic, where each event names the other passengers in it as people whose data it touches.
type airlineTraffic struct {
	lines  []byte              // to be emitted
	of     map[string][]string // event ids by user
	others map[string][]string // users in an event beside the one who acted, by event id
	hers   []string            // what identifies mia: ids, names, addresses, birthdays, payments, sessions, reservations
}

func readAirline(t *testing.T, file string) *airlineTraffic {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := &airlineTraffic{of: map[string][]string{}, others: map[string][]string{}}
	hers := map[string]bool{mia: true, "Mia Li": true}
	for raw := range bytes.Lines(data) {
		var line struct {
			EventID   string          `json:"event_id"`
			UserID    string          `json:"user_id"`
			SessionID string          `json:"session_id"`
			Content   json.RawMessage `json:"content"`
		}
		event := map[string]json.RawMessage{}
		if err := json.Unmarshal(raw, &line); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &event); err != nil {
			t.Fatal(err)
		}
		var others []string
		for _, name := range passengers.FindAllStringSubmatch(string(line.Content), -1) {
			other := strings.ToLower(name[1] + "_" + name[2])
			if !strings.HasPrefix(line.UserID, other+"_") && !slices.Contains(others, other) && len(others) < 8 {
				others = append(others, other)
			}
		}
		if len(others) > 0 {
			text, err := json.Marshal(others)
			if err != nil {
				t.Fatal(err)
			}
			event["data_subjects"] = text
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		a.lines = append(append(a.lines, text...), '\n')
		a.of[line.UserID], a.others[line.EventID] = append(a.of[line.UserID], line.EventID), others
		if line.UserID != mia {
			continue
		}
		hers[line.SessionID] = true
		for _, match := range personal.FindAllString(string(line.Content), -1) {
			hers[match] = true
		}
		for _, match := range reservations.FindAllStringSubmatch(string(line.Content), -1) {
			hers[match[1]] = true
		}
		for _, match := range codes.FindAllString(string(line.Content), -1) {
			if strings.ContainsAny(match, "0123456789") && strings.ContainsAny(match, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
				hers[match] = true
			}
		}
	}
	for h := range hers {
		a.hers = append(a.hers, h)
	}
	slices.Sort(a.hers)
	return a
}

// shared counts the events that are somebody's and somebody else's too.
func (a *airlineTraffic) shared(user string) (n int) {
	for _, id := range a.of[user] {
		if len(a.others[id]) > 0 {
			n++
		}
	}
	return n
}

// shownEvent is one event as `events --json` prints it.
type shownEvent struct {
	EventID string          `json:"event_id"`
	User    string          `json:"user"`
	Content json.RawMessage `json:"content"`
}

func shown(t *testing.T, u *uptest.Up, args ...string) []shownEvent {
	t.Helper()
	var list []shownEvent
	text := u.Good(t, "", append([]string{"events", "--json", "--content", "--limit", "100000"}, args...)...)
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// exportPerson exports everything about a person and returns the events' ids, sorted. Each event must have a proof that is good by the key alone.
func exportPerson(t *testing.T, u *uptest.Up, user string) (ids []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "export.zip")
	u.Good(t, "", "gdpr", "export", "--tenant", airline, "--user", user, "--out", file)
	archive, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	proven := 0
	for _, f := range archive.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in) // with its checksum
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case f.Name == "events.jsonl":
			for line := range bytes.Lines(content) {
				var event shownEvent
				if err := json.Unmarshal(line, &event); err != nil || len(event.Content) < 2 {
					t.Errorf("an event of the export: %v: %.80s", err, line)
				}
				ids = append(ids, event.EventID)
			}
		case strings.HasPrefix(f.Name, "proofs/"):
			proofs := filepath.Join(t.TempDir(), "proofs")
			if err := os.WriteFile(proofs, content, 0o600); err != nil {
				t.Fatal(err)
			}
			proven += strings.Count(u.Good(t, "", "verify-proof", proofs, "--key", u.Endpoints(t).VerifierKeys[0]), "good: entry ")
		}
	}
	if proven != len(ids) {
		t.Errorf("%d events of %s in the export and %d good proofs", len(ids), user, proven)
	}
	slices.Sort(ids)
	return ids
}

// TestErasePerson stores real events of an airline's support agent, erases one of its customers, and looks for her in every byte but the broker's.
func TestErasePerson(t *testing.T) {
	traffic := readAirline(t, testkit.SharedData(t, "agent-traffic/airline.jsonl"))
	u := uptest.Start(t, "")
	l := newLoad(t, u)
	u.Good(t, string(traffic.lines), "emit")
	l.awaitSealed(t, u)
	u.Good(t, "", "verify", "--deep")
	read := func() map[string]string {
		all := map[string]string{}
		for user := range traffic.of {
			if user != mia {
				all[user] = fmt.Sprintf("%+v", shown(t, u, "--tenant", airline, "--user", user))
			}
		}
		return all
	}
	before := read()
	events := shown(t, u, "--tenant", airline, "--user", mia)
	if len(events) != len(traffic.of[mia]) || len(events[0].Content) < 10 {
		t.Fatalf("%d events of hers before, want %d with content", len(events), len(traffic.of[mia]))
	}

	exported := exportPerson(t, u, mia)
	if !slices.Equal(exported, slices.Sorted(slices.Values(traffic.of[mia]))) {
		t.Errorf("%d events in her export, want her %d", len(exported), len(traffic.of[mia]))
	}
	// The other passenger in her booking has her events of it, and nobody else's.
	var wanted []string
	for _, ids := range traffic.of {
		for _, id := range ids {
			if slices.Contains(traffic.others[id], "amelia_ahmed") {
				wanted = append(wanted, id)
			}
		}
	}
	slices.Sort(wanted)
	if exported := exportPerson(t, u, "amelia_ahmed"); len(wanted) == 0 || !slices.Equal(exported, wanted) {
		t.Errorf("%d events in the export of a person whose data were touched, want %d", len(exported), len(wanted))
	}

	// Other passengers in her bookings: a hold on one keeps her, too.
	hold := strings.TrimSpace(u.Good(t, "", "gdpr", "hold", "add", "--tenant", airline, "--user", "amelia_ahmed", "--reason", "case 12"))
	if r := u.Run(t, "", "gdpr", "erase", "--tenant", airline, "--user", mia, "--wait"); r.Code != 1 || !strings.Contains(r.Stdout, "case 12") {
		t.Errorf("erased in spite of a hold: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	u.Good(t, "", "gdpr", "hold", "remove", hold)
	if r := u.Run(t, "", "gdpr", "erase", "--tenant", airline, "--user", "nobody_1", "--wait"); r.Code != 1 || !strings.Contains(r.Stdout, "nobody of that name") {
		t.Errorf("an unknown person: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}

	began := time.Now()
	var receipt struct {
		EventsUnreadable int      `json:"events_unreadable"`
		EventsOfOthers   int      `json:"events_of_others"`
		Subjects         []string `json:"subjects"`
		Log              string   `json:"log"`
		Seq              uint64   `json:"seq"`
	}
	text := u.Good(t, "", "gdpr", "erase", "--tenant", airline, "--user", mia, "--wait", "--json")
	if err := json.Unmarshal([]byte(text), &receipt); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	if receipt.EventsUnreadable != len(traffic.of[mia]) || receipt.EventsOfOthers != traffic.shared(mia) || receipt.EventsOfOthers == 0 {
		t.Errorf("%d events unreadable, %d of others; want %d, %d", receipt.EventsUnreadable, receipt.EventsOfOthers, len(traffic.of[mia]), traffic.shared(mia))
	}
	t.Logf("receipt after %v: %s", took, text)

	u.Good(t, "", "verify", "--deep")
	if after := read(); !maps.Equal(before, after) {
		t.Error("another customer's events read otherwise than before")
	}
	if r := u.Run(t, "", "events", "--tenant", airline, "--user", mia, "--content"); r.Stdout != "" || !strings.Contains(r.Stderr, "nobody") {
		t.Errorf("she is still found: %s%s", r.Stdout, r.Stderr)
	}
	// Her entries are there, under a pseudonym that leads nowhere, and none of their ciphertexts opens; neither for the others who are in them.
	if n := number(t, u, "SELECT count() FROM events WHERE subject = '"+receipt.Subjects[0]+"' AND notEmpty(content)"); n != int64(len(events)) {
		t.Errorf("%d ciphertexts of hers are stored, want %d", n, len(events))
	}
	looked := 0
	for _, e := range shown(t, u, "--tenant", airline) {
		if !slices.Contains(traffic.of[mia], e.EventID) {
			continue
		}
		looked++
		if e.User != "" || len(e.Content) > 0 && string(e.Content) != "null" {
			t.Errorf("event %s opens: of %q, %d bytes", e.EventID, e.User, len(e.Content))
		}
	}
	if looked != len(events) {
		t.Errorf("%d events of hers looked at, want %d", looked, len(events))
	}
	u.Stop(t)
	files, unpacked, found := searchFiles(t, u.Dir, traffic.hers)
	for _, f := range found {
		t.Errorf("left: %s", f)
	}
	if files < 50 || unpacked < 1<<20 {
		t.Errorf("searched %d files and %d bytes that were compressed in them: too little to be everything", files, unpacked)
	}
	t.Logf("%d strings of hers searched for in %d files, and in %d bytes that were compressed there", len(traffic.hers), files, unpacked)
}

// TestSearchFiles shows that the search finds what is there.
func TestSearchFiles(t *testing.T) {
	file := testkit.SharedData(t, "agent-traffic/airline.jsonl")
	u := uptest.Start(t, "", "--set", "ingest.fields.session_id=clear")
	l := newLoad(t, u)
	u.Good(t, string(readAirline(t, file).lines), "emit")
	l.awaitSealed(t, u)
	u.Stop(t)
	_, _, found := searchFiles(t, u.Dir, []string{"airline-0-0", "never was anywhere"})
	if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, "(unpacked): airline-0-0") }) || len(found) == 0 {
		t.Errorf("a session in the clear is not found: %q", found)
	}
	for _, f := range found {
		if strings.Contains(f, "never") {
			t.Errorf("found: %s", f)
		}
	}
}
