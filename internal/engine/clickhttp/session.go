package clickhttp

import (
	"sync"
	"time"
)

// sessions are the connections that clients keep by session_id. They live in this process only
// and end after their idle timeout: a request of before a restart finds none.
type sessions struct {
	max int

	mu     sync.Mutex
	byID   map[string]*session
	closed bool
}

// session keeps what SET, USE and temporary tables did. One request at a time holds it.
type session struct {
	id   string
	conn *conn

	// Held by the request that has the session.
	base    *settings // the session's own state: only the database is tracked here
	applied *settings // in force for the present or last request, on top of the session's own
	changed bool      // SET ran: values to go back to must be asked for
	before  map[string]string

	// Under sessions.mu.
	busy  bool
	timer *time.Timer
}

func newSessions(max int) *sessions {
	return &sessions{max: max, byID: map[string]*session{}}
}

// acquire takes the session of a request, or makes one with open. Errors are ClickHouse's.
func (s *sessions) acquire(q sessionRequest, open func() (*conn, error)) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.byID[q.id]; ok {
		if found.busy {
			return nil, exception(codeSessionIsLocked, "SESSION_IS_LOCKED", "Session %s is locked by a concurrent client", q.id)
		}
		found.busy = true
		found.timer.Stop()
		return found, nil
	}
	if q.check {
		return nil, exception(codeSessionNotFound, "SESSION_NOT_FOUND", "Session %s not found", q.id)
	}
	if s.closed || len(s.byID) >= s.max {
		return nil, exception(codeTooManyQueries, "TOO_MANY_SIMULTANEOUS_QUERIES", "Too many sessions: %d are open", s.max)
	}
	// Opening takes under a millisecond; the lock keeps a second request from opening it too.
	c, err := open()
	if err != nil {
		return nil, err
	}
	made := &session{id: q.id, conn: c, busy: true, base: &settings{}, applied: &settings{}}
	s.byID[q.id] = made
	return made, nil
}

// release ends a request's hold; the session ends after timeout, or now.
func (s *sessions) release(held *session, q sessionRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held.busy = false
	if q.close || s.closed || q.timeout <= 0 {
		s.drop(held)
		return
	}
	// The timer of an earlier release may have fired and be waiting for the lock: expire checks
	// that it is still the current one.
	var timer *time.Timer
	timer = time.AfterFunc(q.timeout, func() { s.expire(held, &timer) })
	held.timer = timer
}

func (s *sessions) expire(held *session, timer **time.Timer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !held.busy && held.timer == *timer && s.byID[held.id] == held {
		s.drop(held)
	}
}

// drop closes a session that nobody holds; s.mu is held.
func (s *sessions) drop(held *session) {
	delete(s.byID, held.id)
	if held.timer != nil {
		held.timer.Stop()
	}
	held.conn.Close()
}

// close ends all sessions. Requests have ended before.
func (s *sessions) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, held := range s.byID {
		s.drop(held)
	}
}

// use brings the session's connection to the settings of a request, which hold for that request
// only: what an earlier one applied goes back to the session's own value first.
func (held *session) use(want *settings) error {
	if held.applied.key() == want.key() {
		return nil
	}
	if err := held.revert(); err != nil {
		return err
	}
	if len(want.values) > 0 {
		if held.changed {
			before, err := held.conn.readSettings(want.values)
			if err != nil {
				return err
			}
			held.before = before
		}
		held.applied = &settings{values: want.values}
		if err := held.conn.exec(setStatement(want.values)); err != nil {
			return err
		}
	}
	if want.database != "" && want.database != held.base.database {
		held.applied = &settings{values: want.values, database: want.database}
		if err := held.conn.exec("USE " + quoteName(want.database)); err != nil {
			return err
		}
	}
	held.applied = want
	return nil
}

// revert takes back what use applied. A setting that the session itself has changed goes back to
// the session's value, others to the default.
func (held *session) revert() error {
	applied := held.applied
	held.applied = &settings{}
	for name := range applied.values {
		sql := "SET " + quoteName(name) + " = DEFAULT"
		if own, ok := held.before[name]; ok {
			sql = setStatement(map[string]string{name: own})
		}
		if err := held.conn.exec(sql); err != nil && asException(err).Code != codeUnknownSetting {
			return err
		}
	}
	held.before = nil
	if applied.database != "" && applied.database != held.base.database {
		own := held.base.database
		if own == "" {
			own = defaultDatabase
		}
		return held.conn.exec("USE " + quoteName(own))
	}
	return nil
}

// learn notes what a statement like SET or USE did to the session.
func (held *session) learn() error {
	held.changed = true
	res, err := held.conn.Query("SELECT currentDatabase()", "RawBLOB")
	if err != nil {
		return err
	}
	defer res.Free()
	held.base.database = string(res.Bytes())
	return nil
}

const (
	defaultDatabase    = "default"
	codeUnknownSetting = 115
)

// readSettings returns those of the named settings that differ from the default.
func (c *conn) readSettings(names map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for name := range names {
		res, err := c.Query("SELECT value FROM system.settings WHERE changed AND name = "+quote(name), "RawBLOB")
		if err != nil {
			return nil, err
		}
		if b := res.Bytes(); b != nil {
			out[name] = string(b)
		}
		res.Free()
	}
	return out, nil
}
