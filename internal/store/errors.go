package store

import "errors"

// What a caller of Writer decides by. Each wraps what ClickHouse or the network said.
var (
	// ErrBlockFull: the row would take the block over MaxBlockRows or MaxBlockBytes. Insert the block, then begin the next with the row.
	ErrBlockFull = errors.New("block is full")
	// ErrSessionLost: the session is gone, with its server process or after a minute of
	// silence, or a request that was given up still holds it. This request did nothing.
	// Open a new Writer and read the head.
	ErrSessionLost = errors.New("clickhouse session lost")
	// ErrUnknownOutcome: the insert may have landed, or may land yet. Give the session
	// up, read the head in a new one, and repeat the same block with the same token.
	ErrUnknownOutcome = errors.New("outcome of insert unknown")
	// ErrRefused: nothing of this insert was stored, and nothing will be. Repeating it is safe.
	ErrRefused = errors.New("insert refused")
	// ErrNotFound: the log has no entry at that seq.
	ErrNotFound = errors.New("no such entry")
)
