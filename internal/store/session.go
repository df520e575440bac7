package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

// session is a ClickHouse session on one server. ClickHouse remembers deduplication
// tokens in a file that a power loss may truncate. A session lives in the server
// process's memory: a request that arrives after a restart, or after a minute of
// silence, is refused instead of landing in a table that has forgotten its token.
type session struct {
	server *server
	id     string
}

const (
	// sessionIdle is how long a session lives without a request.
	sessionIdle = 60 * time.Second
	// openTimeout bounds the first request of a session.
	openTimeout = 10 * time.Second
)

// openSession starts a session on the first server that answers, beginning with the
// one after the last taken, so that writers spread over replicas.
func (s *Store) openSession(ctx context.Context) (*session, error) {
	var failures []error
	first := int(s.nextServer.Add(1))
	for i := range s.servers {
		// ClickHouse cannot tell a session that it lost from one that it never had:
		// the id must not be guessable and not come again.
		opened := &session{server: s.servers[(first+i)%len(s.servers)], id: "agentaudit-" + rand.Text()}
		err := opened.open(ctx)
		if err == nil {
			return opened, nil
		}
		failures = append(failures, err)
	}
	return nil, fmt.Errorf("open clickhouse session: %w", errors.Join(failures...))
}

func (s *session) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	first := params{"session_id": s.id, "session_timeout": s.timeout()}
	var one proto.ColUInt8
	return s.server.readNative(ctx, "SELECT 1 AS one FORMAT Native", first, proto.Results{{Name: "one", Data: &one}}, func(int) error { return nil })
}

func (s *session) timeout() string { return strconv.Itoa(int(sessionIdle / time.Second)) }

// params are those of every later request: it is refused unless the session is alive.
func (s *session) params() params {
	return params{"session_id": s.id, "session_timeout": s.timeout(), "session_check": "1"}
}

// lost wraps err as ErrSessionLost if it says that.
func (s *session) lost(err error) error {
	var e *Exception
	if errors.As(err, &e) && (e.Code == codeSessionNotFound || e.Code == codeSessionLocked) {
		return fmt.Errorf("%w: %w", ErrSessionLost, err)
	}
	return err
}
