package clickhttp

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// Config bounds what clients may take. Start from DefaultConfig.
type Config struct {
	// User and Password are the only account. An empty password is refused.
	User     string
	Password string
	// MaxStatements run at a time (1 to 1024), MaxWaiting more wait up to WaitTimeout for a place;
	// beyond that clients get TOO_MANY_SIMULTANEOUS_QUERIES.
	MaxStatements int
	MaxWaiting    int
	WaitTimeout   time.Duration
	// MaxSessions is how many sessions are kept; MaxSessionTimeout bounds session_timeout.
	MaxSessions       int
	MaxSessionTimeout time.Duration
	// MaxStatementBytes bounds the text of a statement, without an INSERT's data.
	MaxStatementBytes int
	// MaxBodyBytes bounds the data of one INSERT after decompression, MaxBufferedBytes that of all
	// in progress: bodies are held in memory until they are complete.
	MaxBodyBytes     int64
	MaxBufferedBytes int64
	// ReceiveTimeout is the longest a client may pause while it sends a body, SendTimeout the longest
	// it may take for a megabyte of an answer: until then it holds a place and a connection.
	ReceiveTimeout time.Duration
	SendTimeout    time.Duration
}

// DefaultConfig has everything but the account.
func DefaultConfig() Config {
	return Config{
		MaxStatements: 64, MaxWaiting: 256, WaitTimeout: 30 * time.Second,
		MaxSessions: 256, MaxSessionTimeout: time.Hour,
		MaxStatementBytes: 4 << 20,
		MaxBodyBytes:      128 << 20, MaxBufferedBytes: 256 << 20,
		ReceiveTimeout: 30 * time.Second, SendTimeout: time.Minute,
	}
}

// Validate names the first value that is out of range.
func (c *Config) Validate() error {
	switch {
	case c.User == "":
		return errors.New("user: must not be empty")
	case c.Password == "":
		return errors.New("password: must not be empty")
	case c.MaxStatements < 1 || c.MaxStatements > 1024:
		return fmt.Errorf("max_statements: %d is not between 1 and 1024", c.MaxStatements)
	case c.MaxWaiting < 0:
		return fmt.Errorf("max_waiting: %d is negative", c.MaxWaiting)
	case c.MaxSessions < 1:
		return fmt.Errorf("max_sessions: %d is below 1", c.MaxSessions)
	case c.MaxSessionTimeout < time.Second:
		return fmt.Errorf("max_session_timeout: %s is below 1s", c.MaxSessionTimeout)
	case c.MaxStatementBytes < 1024:
		return fmt.Errorf("max_statement_bytes: %d is below 1024", c.MaxStatementBytes)
	case c.MaxBodyBytes < 1 || c.MaxBufferedBytes < c.MaxBodyBytes:
		return fmt.Errorf("max_body_bytes: %d is not between 1 and max_buffered_bytes (%d)", c.MaxBodyBytes, c.MaxBufferedBytes)
	case c.WaitTimeout <= 0 || c.ReceiveTimeout <= 0 || c.SendTimeout <= 0:
		return errors.New("wait_timeout, receive_timeout, send_timeout: must be above 0")
	}
	return nil
}

// Deps are what a Server needs from outside.
type Deps struct {
	Library *libchdb.Library
	// ConnectArgs start the engine and go to every connection ("--path=…" and settings).
	ConnectArgs []string
	Log         *slog.Logger
}
