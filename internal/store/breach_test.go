package store

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/pkg/events"
)

// A scope selects entries by all that it says, in all logs, and everybody in them is counted: who acted, and whose data was touched.
func TestScope(t *testing.T) {
	s := newStore(t)
	one, other := newTestLog(t, "agent.events/0"), newTestLog(t, "agent.events/1")
	rows := map[*testLog][]*sealed{}
	number := 0
	add := func(l *testLog, minute int, tenant, typ, agent, tool, session string, subject byte, touched ...byte) {
		who := people{}
		if subject > 0 {
			who.subject = [16]byte{subject}
		}
		for _, id := range touched {
			who.dataSubjects = append(who.dataSubjects, [16]byte{id})
		}
		number++
		rows[l] = append(rows[l], l.event(&events.Record{EventID: events.UUID{byte(number)}, Time: testStart.Add(time.Duration(minute) * time.Minute), Type: typ, Action: "a",
			Outcome: events.Success, Tenant: tenant, SessionID: session, Agent: events.Agent{ID: agent}, Tool: events.Tool{Name: tool}}, who, findings{}, 0))
	}
	for _, l := range []*testLog{one, other} {
		insert(t, openWriter(t, s, l.head.Log), fill(t, NewBlock(), l.open(202611)))
	}
	add(one, 1, "acme", "tool.call", "bot", "mail", "s1", 1)
	add(one, 2, "acme", "tool.call", "bot", "mail", "s1", 1, 2, 3)
	add(one, 3, "acme", "llm.call", "bot", "", "s2", 2, 2)
	add(one, 4, "o'neill", "tool.call", "other", "it's", "s3", 4)
	add(other, 2, "acme", "tool.call", "bot", "mail", "s1", 1, 3)
	add(other, 9, "acme", "config.change", "bot", "", "", 0)
	rows[other] = append(rows[other], other.rejected("not JSON", 5))
	for l, list := range rows {
		insert(t, openWriter(t, s, l.head.Log), fill(t, NewBlock(), list...))
	}
	type subject struct {
		id             byte
		acted, touched uint64
	}
	f := func(name string, scope Scope, wantLogs []ScopeLog, want ...subject) {
		t.Helper()
		logs, err := s.ScopeLogs(context.Background(), scope)
		if err != nil || !slices.Equal(logs, wantLogs) {
			t.Errorf("%s: logs %+v, %v; want %+v", name, logs, err, wantLogs)
		}
		var got []subject
		err = s.ScopeSubjects(context.Background(), scope, func(one ScopeSubject) error {
			got = append(got, subject{one.ID[0], one.Acted, one.Touched})
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	at := func(minute int) time.Time { return testStart.Add(time.Duration(minute) * time.Minute) }
	log0 := func(n, first, last uint64) ScopeLog { return ScopeLog{"agent.events/0", n, first, last} }
	log1 := func(n, first, last uint64) ScopeLog { return ScopeLog{"agent.events/1", n, first, last} }
	f("all", Scope{}, []ScopeLog{log0(4, 1, 4), log1(2, 1, 2)}, subject{1, 3, 0}, subject{2, 1, 2}, subject{3, 0, 2}, subject{4, 1, 0})
	f("a time", Scope{Since: at(2), Until: at(3)}, []ScopeLog{log0(1, 2, 2), log1(1, 1, 1)}, subject{1, 2, 0}, subject{2, 0, 1}, subject{3, 0, 2})
	f("a tenant", Scope{Tenant: "o'neill"}, []ScopeLog{log0(1, 4, 4)}, subject{4, 1, 0})
	f("an agent and a tool", Scope{Agent: "other", Tool: "it's"}, []ScopeLog{log0(1, 4, 4)}, subject{4, 1, 0})
	f("an agent, but another tool", Scope{Agent: "other", Tool: "mail"}, nil)
	f("a type", Scope{Type: "llm.call"}, []ScopeLog{log0(1, 3, 3)}, subject{2, 1, 1})
	f("a session", Scope{SessionToken: "s1"}, []ScopeLog{log0(2, 1, 2), log1(1, 1, 1)}, subject{1, 3, 0}, subject{2, 0, 1}, subject{3, 0, 2})
	f("nobody's", Scope{Type: "config.change"}, []ScopeLog{log1(1, 2, 2)})
	f("listed", Scope{EventIDs: [][16]byte{{2}, {4}, {99}}}, []ScopeLog{log0(2, 2, 4)}, subject{1, 1, 0}, subject{2, 0, 1}, subject{3, 0, 1}, subject{4, 1, 0})
	f("listed, of a tenant", Scope{EventIDs: [][16]byte{{2}, {4}}, Tenant: "acme"}, []ScopeLog{log0(1, 2, 2)}, subject{1, 1, 0}, subject{2, 0, 1}, subject{3, 0, 1})

	// More ids than one statement takes: the same, put together.
	var many [][16]byte
	for i := range 10_000 {
		id := [16]byte{9: 1}
		binary.BigEndian.PutUint32(id[12:], uint32(i))
		many = append(many, id)
	}
	many[0], many[5000], many[9999] = [16]byte{1}, [16]byte{2}, [16]byte{5}
	f("many listed", Scope{EventIDs: many}, []ScopeLog{log0(2, 1, 2), log1(1, 1, 1)}, subject{1, 3, 0}, subject{2, 0, 1}, subject{3, 0, 2})
	missing, err := s.MissingEvents(context.Background(), many)
	if err != nil || len(missing) != 9997 || slices.Contains(missing, [16]byte{2}) || missing[0] != many[1] {
		t.Errorf("%d are missing, %v", len(missing), err)
	}
	if missing, err := s.MissingEvents(context.Background(), [][16]byte{{1}}); err != nil || len(missing) != 0 {
		t.Errorf("%v are missing, %v", missing, err)
	}
	stop := errors.New("stop")
	if err := s.ScopeSubjects(context.Background(), Scope{}, func(ScopeSubject) error { return stop }); err != stop { //nolint:errorlint // as it is
		t.Errorf("an error of the caller's became %v", err)
	}
	if n, err := s.CountRejected(context.Background(), testStart, at(60)); err != nil || n != 1 {
		t.Errorf("%d rejected, %v", n, err)
	}
	if n, err := s.CountRejected(context.Background(), at(60), at(120)); err != nil || n != 0 {
		t.Errorf("%d rejected later, %v", n, err)
	}
}
