package engine_test

import (
	"strings"
	"testing"
	"time"
)

func TestSessionKeepsItsState(t *testing.T) {
	s := []string{"session_id", t.Name()}
	in := func(sql string, more ...string) string {
		t.Helper()
		return query(t, shared, sql, append(s, more...)...)
	}

	in("SET max_threads = 5")
	in("CREATE TEMPORARY TABLE mine (a Int)")
	in("INSERT INTO mine VALUES (1)")
	if got := in("SELECT getSetting('max_threads'), (SELECT count() FROM mine)"); got != "5\t1" {
		t.Errorf("session: %s", got)
	}
	// A parameter of the URL holds for its request only.
	if got := in("SELECT getSetting('max_threads'), getSetting('max_block_size')", "max_threads", "6", "max_block_size", "100"); got != "6\t100" {
		t.Errorf("with parameters: %s", got)
	}
	if got := in("SELECT getSetting('max_threads'), getSetting('max_block_size') = 100"); got != "5\t0" {
		t.Errorf("after parameters: %s", got)
	}
	in("USE system", "max_threads", "3")
	if got := in("SELECT currentDatabase()"); got != "system" {
		t.Errorf("USE: %s", got)
	}
	if got := in("SELECT currentDatabase()", "database", "default"); got != "default" {
		t.Errorf("database of a request: %s", got)
	}
	if got := in("SELECT currentDatabase(), getSetting('max_threads')"); got != "system\t5" {
		t.Errorf("afterwards: %s", got)
	}
	// Nothing of it is seen outside.
	refused(t, shared, "60", "SELECT * FROM mine")
	refused(t, shared, "60", "SELECT * FROM mine", "session_id", t.Name()+"-other")
	// An unknown setting leaves the session as it was.
	refused(t, shared, "115", "SELECT 1", append(s, "no_such_setting", "1", "max_threads", "9")...)
	if got := in("SELECT currentDatabase(), getSetting('max_threads')"); got != "system\t5" {
		t.Errorf("after an unknown setting: %s", got)
	}
	in("SELECT 1", "close_session", "1")
	refused(t, shared, "372", "SELECT 1", append(s, "session_check", "1")...)
}

func TestSessionCheckAndTimeout(t *testing.T) {
	id := []string{"session_id", t.Name()}
	check := append(id, "session_check", "1")
	refused(t, shared, "372", "SELECT 1", check...)
	query(t, shared, "SELECT 1", append(id, "session_timeout", "60")...)
	query(t, shared, "SELECT 1", check...)
	query(t, shared, "SELECT 1", append(check, "session_timeout", "1")...)
	// In use it lives on, however long that is. Where this machine was busy for longer than the timeout nothing is shown, and it begins again.
	began, last := time.Now(), time.Now()
	waitFor(t, func() bool {
		asked := time.Now()
		if r := send(t, shared, params(append(check, "session_timeout", "1")...), strings.NewReader("SELECT 1")); r.status != 200 {
			if asked.Sub(last) < 900*time.Millisecond {
				t.Fatalf("it ended %v after its last request: %s", asked.Sub(last), r.body)
			}
			query(t, shared, "SELECT 1", append(id, "session_timeout", "1")...)
			began = time.Now()
		}
		last = time.Now()
		return last.Sub(began) > 2*time.Second
	})
	waitFor(t, func() bool { // asking for it must not keep it alive: its state does not tell
		time.Sleep(1100 * time.Millisecond)
		return send(t, shared, params(check...), nil).code() == "372"
	})
	refused(t, shared, "374", "SELECT 1", append(id, "session_timeout", "x")...)
	refused(t, shared, "374", "SELECT 1", append(id, "session_timeout", "100000")...)
}

func TestSessionIsLocked(t *testing.T) {
	name := table(t, shared, "a UInt64")
	id := []string{"session_id", t.Name(), "session_timeout", "60"}
	w := begin(t, "INSERT INTO "+name+" FORMAT CSV", "Content-Length: 2", append(id, "log_comment", name)...)
	defer w.Close()
	waitFor(t, func() bool { return running(t, name) == "1" })
	refused(t, shared, "373", "SELECT 1", append(id, "session_check", "1")...)
	w.send("1\n")
	w.answer()
	waitFor(t, func() bool { return send(t, shared, params(id...), nil).code() != "373" })
	query(t, shared, "SELECT 1", append(id, "session_check", "1")...)
}

// What has ended, however it ended, is not in system.processes any more, also in a session that
// runs nothing else: writers go by that.
func TestEndedStatementsAreGone(t *testing.T) {
	name := table(t, shared, "a UInt64")
	id := []string{"session_id", t.Name(), "log_comment", name}
	query(t, shared, "INSERT INTO "+name+" VALUES (1)", id...)
	for i, end := range []func(){
		func() { query(t, shared, "SELECT 1", id...) },
		func() { query(t, shared, "INSERT INTO "+name+" FORMAT CSV\n1", id...) },
		func() { query(t, shared, "INSERT INTO "+name+" SELECT 1", id...) },
		func() { refused(t, shared, "395", "SELECT throwIf(1)", id...) },
		func() { refused(t, shared, "395", "SELECT throwIf(1) FORMAT JSON", id...) },
		func() { refused(t, shared, "395", "INSERT INTO "+name+" SELECT throwIf(1)", id...) },
		func() { refused(t, shared, "60", "INSERT INTO nowhere VALUES (1)", id...) },
		func() { send(t, shared, params(id...), strings.NewReader("INSERT INTO "+name+" FORMAT CSV\nx")) },
		func() {
			send(t, shared, params(id...), strings.NewReader("SELECT throwIf(number = 3000000) FROM numbers(10000000)"))
		},
		func() {
			refused(t, shared, "159", "SELECT sleepEachRow(1) FROM numbers(10)", append(id, "max_execution_time", "1", "max_block_size", "1")...)
		},
	} {
		end()
		if !within(5*time.Second, func() bool { return running(t, name) == "0" }) {
			t.Errorf("statement %d is still there: %s", i, query(t, shared, "SELECT query, is_cancelled FROM system.processes WHERE Settings['log_comment'] = '"+name+"'"))
		}
	}
}
