package ledger

import (
	"errors"
	"time"
)

// Config holds a writer's bounds on time.
type Config struct {
	// InsertTimeout ends an insert whose answer does not come. The outcome is then unknown.
	InsertTimeout time.Duration
	// ReadTimeout ends a read of the head.
	ReadTimeout time.Duration
	// MaxExecution is what the store is told to allow one insert. A token whose rows
	// do not show up is held to be burned no earlier than twice this.
	MaxExecution time.Duration
	// SeenWithin is how long ago the store may have been seen to have the head that a
	// batch goes on top of. Whoever deletes the end of a log later than that before an
	// insert is noticed by the writer, and the log is not extended behind the hole.
	SeenWithin time.Duration
	// RetryMin and RetryMax bound the pause before the next try; it doubles between them.
	RetryMin, RetryMax time.Duration
}

// DefaultConfig suits an engine on this machine and a cluster alike.
func DefaultConfig() Config {
	return Config{
		InsertTimeout: 30 * time.Second,
		ReadTimeout:   10 * time.Second,
		MaxExecution:  10 * time.Second,
		SeenWithin:    time.Second,
		RetryMin:      50 * time.Millisecond,
		RetryMax:      5 * time.Second,
	}
}

// Validate refuses bounds under which the fence does not hold.
func (c Config) Validate() error {
	switch {
	case c.MaxExecution <= 0:
		// Zero means "no limit" to ClickHouse: an insert could land at any time.
		return errors.New("ledger: max execution time must be positive")
	case c.InsertTimeout < c.MaxExecution:
		return errors.New("ledger: insert timeout must not be below the store's max execution time")
	case c.ReadTimeout <= 0:
		return errors.New("ledger: read timeout must be positive")
	case c.RetryMin <= 0 || c.RetryMax < c.RetryMin:
		return errors.New("ledger: retry pauses must be positive and ascending")
	}
	return nil
}

// burnWait is how long a head must stand still after an acknowledged insert
// before its token can be held to be burned.
func (c Config) burnWait() time.Duration { return 2 * c.MaxExecution }
