package clickhttp

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// A session ends when nobody has used it for the time that its last request asked for, not before and not later.
func TestSessionTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSessions(1)
		opened := 0
		open := func() (*conn, error) {
			opened++
			return &conn{Conn: &libchdb.Conn{}}, nil // closed without any engine
		}
		refused := func(q sessionRequest, code int) {
			t.Helper()
			var e *libchdb.Error
			if held, err := s.acquire(q, open); held != nil || !errors.As(err, &e) || e.Code != code {
				t.Errorf("got %v, %v; want code %d", held, err, code)
			}
		}
		take := func(q sessionRequest) *session {
			t.Helper()
			held, err := s.acquire(q, open)
			if err != nil {
				t.Fatal(err)
			}
			return held
		}
		short := sessionRequest{id: "a", timeout: time.Second}
		check := sessionRequest{id: "a", timeout: time.Second, check: true}
		refused(check, codeSessionNotFound)
		s.release(take(short), short)
		for range 5 { // each use begins the timeout anew
			time.Sleep(time.Second - time.Nanosecond) // of a fake clock
			held := take(check)
			time.Sleep(time.Minute) // a long request does not count
			refused(check, codeSessionIsLocked)
			s.release(held, check)
		}
		refused(sessionRequest{id: "b", timeout: time.Second}, codeTooManyQueries)
		time.Sleep(time.Second)
		synctest.Wait()
		refused(check, codeSessionNotFound)
		if opened != 1 {
			t.Errorf("%d sessions were opened", opened)
		}

		// The last request's timeout counts, also a longer one; and another session has room again.
		long := sessionRequest{id: "b", timeout: time.Hour}
		s.release(take(sessionRequest{id: "b", timeout: time.Second}), long)
		time.Sleep(time.Hour - time.Nanosecond)
		held := take(sessionRequest{id: "b", check: true})
		s.release(held, sessionRequest{id: "b", close: true, timeout: time.Hour})
		refused(sessionRequest{id: "b", check: true}, codeSessionNotFound)
		s.close()
		refused(short, codeTooManyQueries)
	})
}
