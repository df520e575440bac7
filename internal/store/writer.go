package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Writer extends one log in one ClickHouse session on one server. It has one owner
// at a time.
type Writer struct {
	store   *Store
	log     string
	session *session
	reader  headReader
	// known is the head that was last read, or that the last insert makes if it was
	// stored. A log only grows: its head is not looked for below.
	known chain.Head
}

// OpenWriter opens a session for writing log.
func (s *Store) OpenWriter(ctx context.Context, log string) (*Writer, error) {
	opened, err := s.openSession(ctx)
	if err != nil {
		return nil, err
	}
	return &Writer{store: s, log: log, session: opened, reader: newHeadReader(), known: chain.EmptyHead(log)}, nil
}

// Head returns the stored head of the log, recomputed from the entry with the highest
// seq: the empty head if there is none, a *chain.Fault if that entry is damaged or
// stands there twice, ErrSessionLost. An entry that this writer has read or inserted is
// recognised by seq and leaf hash.
func (w *Writer) Head(ctx context.Context) (chain.Head, error) {
	if err := w.store.catchUp(ctx, w.session.server, w.session.params()); err != nil {
		return chain.Head{}, w.session.lost(err)
	}
	head, err := w.reader.head(ctx, w.store, w.session.server, w.session.params(), w.known)
	if err != nil {
		return chain.Head{}, w.session.lost(err)
	}
	w.known = head
	return head, nil
}

// LeafAt returns the leaf hash recomputed from the stored entry; false if there is none.
func (w *Writer) LeafAt(ctx context.Context, seq uint64) (chain.Hash, bool, error) {
	_, leaf, err := w.reader.entryAt(ctx, w.store, w.session.server, w.session.params(), w.log, seq)
	switch {
	case errors.Is(err, ErrNotFound):
		return chain.Hash{}, false, nil
	case err != nil:
		return chain.Hash{}, false, w.session.lost(err)
	}
	return leaf, true, nil
}

// Insert stores b unless token was seen before; in that case nothing is stored and nil
// is returned all the same, so that only Head tells. Errors wrap ErrSessionLost,
// ErrRefused or ErrUnknownOutcome.
func (w *Writer) Insert(ctx context.Context, token string, b *Block) error {
	wire, err := b.finish()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case b.log != w.log:
		return fmt.Errorf("%w: block of %s for a writer of %s", ErrRefused, b.log, w.log)
	case token == "":
		// ClickHouse would take the hash of the rows for it.
		return fmt.Errorf("%w: no insert token", ErrRefused)
	}
	ctx, cancel := context.WithTimeout(ctx, w.store.cfg.InsertTimeout)
	defer cancel()
	p := w.session.params().with(w.store.insertParams()).with(params{
		"query":                      "INSERT INTO " + w.store.events + " (" + columnNames + ") FORMAT Native",
		"insert_deduplication_token": token,
		"log_comment":                w.store.insertComment(w.log),
	})
	body := newBlockBody(wire)
	// net/http may go on reading a body after it has returned an error.
	defer body.abandon()
	if err := w.session.insertError(ctx, w.session.server.insert(ctx, p, body, body.size)); err != nil {
		return err
	}
	// Unless the token was used before. Then the stored head is another one, and is read.
	if head, err := chain.HeadOf(b.lastEntry()); err == nil {
		w.known = head
	}
	return nil
}

// Close gives the session up. It does not wait for the server, where the session ends
// by itself.
func (w *Writer) Close() { w.session.id = closedSession }

// closedSession is the id of no session: what is asked in it is refused as lost.
const closedSession = "agentaudit-closed"

// insertParams are the settings under which a token decides between writers; each is
// asserted by AssertFence as the server takes it.
func (s *Store) insertParams() params {
	p := params{
		"async_insert":       "0",
		"insert_deduplicate": "1",
		// One request is one block is one part. Squashing is off, and the limit at
		// which a block would be cut is far above MaxBlockRows. A block of two
		// epochs is refused instead of being split.
		"max_insert_block_size":                    strconv.Itoa(10 * MaxBlockRows),
		"min_insert_block_size_rows":               "0",
		"min_insert_block_size_bytes":              "0",
		"max_insert_threads":                       "1",
		"max_partitions_per_insert_block":          "1",
		"throw_on_max_partitions_per_insert_block": "1",
		"max_execution_time":                       strconv.Itoa(int(s.cfg.MaxExecution.Seconds())),
		"timeout_overflow_mode":                    "throw",
		// The answer waits for the whole insert, so that a failure has a status of its own.
		"wait_end_of_query": "1",
	}
	if s.cfg.Cluster != "" {
		// An insert that only one replica has is gone with that replica.
		p["insert_quorum"] = "auto"
	}
	return p
}

// insertComment marks the inserts of a log in system.processes.
func (s *Store) insertComment(log string) string {
	return "agentaudit insert " + s.cfg.Database + " " + log
}

// insert posts one block and reads the answer to its end.
func (s *server) insert(ctx context.Context, p params, body io.Reader, sizeBytes int64) error {
	resp, err := s.do(ctx, p, body, sizeBytes)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxExceptionBytes))
	switch {
	case err != nil:
		return fmt.Errorf("read answer: %w", err)
	case len(text) != 0:
		// ClickHouse answers an insert with nothing. What else there may be comes
		// from a failure after the status was sent.
		if e := parseException(text); e != nil {
			return e
		}
		return fmt.Errorf("clickhouse answered an insert with %d bytes", len(text))
	}
	return nil
}

// insertError says what an insert's error means for its outcome. What is not known
// for certain is unknown.
func (s *session) insertError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	err = s.lost(err)
	var e *Exception
	switch {
	case errors.Is(err, ErrSessionLost):
		return err
	case errors.As(err, &e) && refusals[e.Code], notSent(err):
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, context.Cause(ctx))
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}
