// Package ledger extends logs: one writer a log, enforced by the store itself.
//
// Any number of processes may believe that they own a Kafka partition: one was
// stopped for ten minutes and woke up, one talks through a proxy that held its
// request back. None of them is trusted. A batch is inserted under a token that
// is a function of the head it extends, and the store accepts a token once, so
// that each head has one successor at most. Writer keeps the rules that make
// this sound:
//
//   - Every request belongs to a session that dies with the server process and
//     after a minute of silence, and the head was read in that session. A request
//     that comes late, to a store that may have forgotten its tokens or lost
//     its last rows, is refused.
//   - Success is what the read-back says. A dropped duplicate and a stored batch
//     are acknowledged alike.
//   - After an unknown outcome the session is abandoned; a new one reads the head,
//     which tells whether the batch is in, and the same token is used again.
//   - A token that was noted while its rows were lost ("burned") would stop the
//     log for ever. It is given up for the next attempt only when no insert that
//     bears it can land any more: see Writer.burned.
//
// The package knows neither SQL nor Kafka. It is tested by simulating thousands
// of schedules of crashes, pauses and lost or late messages.
package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// ErrSuperseded says that another writer extended the log. The batch was not
// stored; drop it, load the head again and continue there.
var ErrSuperseded = errors.New("log extended by another writer")

// ErrClosed says that the log ends with a close entry: it has a successor, or
// `agentaudit log reopen` was interrupted and has to be run again.
var ErrClosed = errors.New("log is closed")

// RollbackError says that the store no longer holds what a checkpoint covers:
// rows were rewritten or removed, or an older backup was restored. The log is
// not extended until an operator has looked at it.
type RollbackError struct {
	Log    string
	Anchor Anchor
	Stored uint64 // entries that the store holds now
	Reason string
}

func (e *RollbackError) Error() string {
	return fmt.Sprintf("rollback: %s no longer holds its checkpoint of %d entries (%s; %d stored): find out why, then run agentaudit log reopen",
		e.Log, e.Anchor.Size, e.Reason, e.Stored)
}

// Anchor is what a checkpoint fixes of a log: its first Size entries, the last
// of which has the leaf hash Leaf.
type Anchor struct {
	Size uint64
	Leaf chain.Hash
}

// Store is the place that logs are kept in. B is a batch in the store's own form.
// Implementations are safe for concurrent use.
type Store[B any] interface {
	// OpenSession starts a session for writing one log.
	OpenSession(ctx context.Context, log string) (Session[B], error)
	// Quiet reports that no insert into the log is running on any server of the
	// store, and that every batch accepted so far is visible to the server asked.
	Quiet(ctx context.Context, log string) (bool, error)
}

// Session is bound to one run of one server. Every method fails once that run
// has ended or the session has been idle for too long. Not safe for concurrent use.
type Session[B any] interface {
	// Head is the head of the log as stored. It is the zero Head with the log's
	// name when the log is empty, and a *chain.Fault when the last entry is damaged.
	Head(ctx context.Context) (chain.Head, error)
	// LeafAt is the leaf hash recomputed from the stored entry; false if there is none.
	LeafAt(ctx context.Context, seq uint64) (chain.Hash, bool, error)
	// Insert stores the batch unless the token was seen before, in which case it
	// does nothing and reports success all the same. After an error the outcome
	// is unknown: the batch may have been stored, or may yet be.
	Insert(ctx context.Context, token string, batch B) error
	// Close gives the session up. It does not wait for the server.
	Close()
}

// AnchorFunc reads the latest checkpoint of a log; false if it has none yet.
type AnchorFunc func(ctx context.Context, log string) (Anchor, bool, error)
