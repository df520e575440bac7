package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestQuery(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	storeLog(t, s, l, 1, 9)
	f := func(sql, format, want string) {
		t.Helper()
		var got strings.Builder
		if err := s.Query(context.Background(), sql, format, &got); err != nil || got.String() != want {
			t.Errorf("%s: %q, %v", sql, got.String(), err)
		}
	}
	f("SELECT count() AS n FROM events", "TabSeparated", "10\n")
	f("SELECT count() AS n FROM events", "JSONEachRow", `{"n":10}`+"\n")
	f("SELECT 'a' AS x UNION ALL SELECT 'a'", "CSVWithNames", "\"x\"\n\"a\"\n\"a\"\n")
	f("SELECT 1 FORMAT CSV", "TabSeparated", "1\n")
	f("SELECT 1 WHERE 0", "TabSeparated", "")
	f("-- a note\nWITH 2 AS two SELECT two;", "TabSeparated", "2\n")
	f("SHOW TABLES LIKE 'event%'", "TabSeparated", "events\n")
}

// TestQueryReadsOnly: nothing can be changed, by no statement.
func TestQueryReadsOnly(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	storeLog(t, s, l, 1, 9)
	for _, sql := range []string{
		"INSERT INTO events SELECT * FROM events",
		"ALTER TABLE events DELETE WHERE 1",
		"ALTER TABLE events DROP PARTITION 202611",
		"DROP TABLE events",
		"TRUNCATE TABLE events",
		"CREATE TABLE mine (a UInt8) ENGINE = Memory",
		"OPTIMIZE TABLE events FINAL",
		"SYSTEM STOP MERGES",
		"KILL QUERY WHERE 1",
		"SET readonly = 0",
		"SELECT 1; DROP TABLE events",
		"RENAME TABLE events TO gone",
		"SELECT count() FROM events SETTINGS readonly = 0",
	} {
		if err := s.Query(context.Background(), sql, "TabSeparated", io.Discard); err == nil {
			t.Errorf("%s: accepted", sql)
		}
	}
	headIs(t, openWriter(t, s, l.head.Log), l.head)
	if got := count(t, s, "SELECT count() FROM events"); got != "10" {
		t.Errorf("%s rows are left", got)
	}
}

func TestQueryErrors(t *testing.T) {
	s := newStore(t)
	f := func(sql, format, want string) {
		t.Helper()
		if err := s.Query(context.Background(), sql, format, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	f("SELECT", "TabSeparated", "code 62")
	f("SELECT nothing FROM events", "TabSeparated", "code 47")
	f("SELECT 1", "NoSuchFormat", "code 73")
	f("SELECT 1", "x&y", "format")
	f("SELECT throwIf(number = 3000000, 'late') FROM numbers(4000000) SETTINGS max_block_size = 1000", "TabSeparated", "code")
	failing := errors.New("disk full")
	if err := s.Query(context.Background(), "SELECT 1", "TabSeparated", failingWriter{failing}); !errors.Is(err, failing) {
		t.Errorf("writer fails: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Query(ctx, "SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 8", "TabSeparated", io.Discard); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestLateException: what an answer of status 200 may hide.
func TestLateException(t *testing.T) {
	const tag = "0123456789abcdef"
	late := "Code: 395. DB::Exception: Value passed to 'throwIf' function is non-zero: late. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 26.7.2.1)\n"
	f := func(name, tagHeader, body string, code int) {
		t.Helper()
		server, done := answering(t, tagHeader, body)
		defer done()
		var got bytes.Buffer
		err := server.copyResult(context.Background(), "SELECT 1", params{}, &got)
		var e *Exception
		if code == 0 && err != nil || code != 0 && (!errors.As(err, &e) || e.Code != code) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f("none", tag, "1\n2\n", 0)
	f("none, empty", tag, "", 0)
	f("marked", tag, "1\n\r\n__exception__\r\n"+tag+"\r\n"+late+"120 "+tag+"\r\n__exception__\r\n", 395)
	f("another's mark is data", tag, "1\n__exception__\r\nfedcba9876543210\r\n"+late, 0)
	f("unmarked, of an older server", "", "1\n"+late, 395)
	f("of an official build", "", "1\nCode: 241. DB::Exception: Memory limit. (MEMORY_LIMIT_EXCEEDED) (version 25.8.1.3 (official build))\n", 241)
	f("data that quotes one", "", late+"1\n", 0)
}

// answering is a server that answers everything alike.
func answering(t *testing.T, tag, body string) (*server, func()) {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if tag != "" {
			w.Header().Set("X-ClickHouse-Exception-Tag", tag)
		}
		_, _ = io.WriteString(w, body) // the client shows what is missing
	}))
	return serverAt(t, h.URL, h.Client()), h.Close
}

func TestFindEvents(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	w, block := openWriter(t, s, l.head.Log), NewBlock()
	insert(t, w, fill(t, block, l.open(202611)))
	awkward := `it's a\b` + "\t" + `"☃"`
	var rows []*sealed
	add := func(minute int, tenant, typ, session string, subject byte, touched ...byte) {
		who := people{subject: [16]byte{subject}}
		for _, id := range touched {
			who.dataSubjects = append(who.dataSubjects, [16]byte{id})
		}
		at := testStart.Add(time.Duration(minute) * time.Minute)
		rows = append(rows, l.event(&events.Record{EventID: events.UUID{byte(len(rows) + 1)}, Time: at, Type: typ, Action: "a", Outcome: events.Success,
			Tenant: tenant, SessionID: session}, who, findings{}, 10*(len(rows)%2)))
	}
	add(5, "acme", "tool.call", "s1", 1)
	add(1, "acme", "llm.call", "s1", 1, 2)
	add(3, "acme", "tool.call", strings.ReplaceAll(awkward, "\t", " "), 2)
	add(4, `o'neill\t\\`, "tool.call", "s2", 3, 1, 2)
	add(2, "acme", "tool.call", "s3", 2)
	rows = append(rows, l.rejected("not JSON", 5))
	insert(t, w, fill(t, block, rows...))
	f := func(name string, filter Filter, want ...int) {
		t.Helper()
		if filter.Limit == 0 {
			filter.Limit = 100
		}
		found, err := s.FindEvents(context.Background(), filter)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		var got []int
		for _, e := range found {
			i := int(e.Seq) - 1
			got = append(got, i)
			if string(e.Entry) != string(rows[i].row.Entry) || string(e.Content) != string(rows[i].row.Ciphertext) || e.Log != l.head.Log {
				t.Errorf("%s: entry %d is not what was stored", name, i)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
			return
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", name, got, want)
				return
			}
		}
	}
	id := func(b byte) gdpr.SubjectID { return gdpr.SubjectID{b} }
	f("all, by time", Filter{}, 1, 4, 2, 3, 0)
	f("limit", Filter{Limit: 2}, 1, 4)
	f("tenant", Filter{Tenant: "acme"}, 1, 4, 2, 0)
	f("tenant with a quote", Filter{Tenant: `o'neill\t\\`}, 3)
	f("nobody's", Filter{Tenant: "x"})
	f("type", Filter{Type: "llm.call"}, 1)
	f("subject", Filter{Subjects: []gdpr.SubjectID{id(1)}}, 1, 0)
	f("subjects", Filter{Subjects: []gdpr.SubjectID{id(1), id(3)}}, 1, 3, 0)
	f("touched", Filter{DataSubjects: []gdpr.SubjectID{id(2)}}, 1, 3)
	f("acted or touched", Filter{Subjects: []gdpr.SubjectID{id(2)}, DataSubjects: []gdpr.SubjectID{id(2)}}, 1, 4, 2, 3)
	f("session", Filter{SessionTokens: []string{"s1"}}, 1, 0)
	f("sessions", Filter{SessionTokens: []string{"s3", strings.ReplaceAll(awkward, "\t", " ")}}, 4, 2)
	f("since", Filter{Since: testStart.Add(3 * time.Minute)}, 2, 3, 0)
	f("until", Filter{Until: testStart.Add(3 * time.Minute)}, 1, 4)
	f("together", Filter{Tenant: "acme", Type: "tool.call", Since: testStart.Add(2 * time.Minute), Until: testStart.Add(4 * time.Minute)}, 4, 2)
	for _, limit := range []int{0, -1, MaxFound + 1} {
		if _, err := s.FindEvents(context.Background(), Filter{Limit: limit}); err == nil {
			t.Errorf("limit %d was accepted", limit)
		}
	}
}

func TestOtherErrors(t *testing.T) {
	s := newStore(t)
	wrong := s.cfg
	wrong.Password += "x"
	if _, err := Open(context.Background(), wrong); err == nil || strings.Contains(err.Error(), wrong.Password) {
		t.Errorf("wrong password: %v", err)
	}
	nobody := s.cfg
	nobody.Addresses = []string{"http://127.0.0.1:1"}
	if _, err := Open(context.Background(), nobody); err == nil || !strings.Contains(err.Error(), "no clickhouse server can be reached") {
		t.Errorf("no server: %v", err)
	}
	if _, err := s.EntryAt(context.Background(), `it's\`, 3); !errors.Is(err, ErrNotFound) {
		t.Errorf("no entry: %v", err)
	}
	if head, err := s.Head(context.Background(), "agent.events/9"); err != nil || head != chain.EmptyHead("agent.events/9") {
		t.Errorf("no log: %+v, %v", head, err)
	}
}
