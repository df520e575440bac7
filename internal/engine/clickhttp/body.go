package clickhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// chunkBytes is the unit in which bodies are held and handed to the engine.
const chunkBytes = 1 << 20

// buffers bounds the memory of all bodies in progress.
type buffers struct {
	pool  sync.Pool
	space chan struct{} // one element for each chunk in use
}

func newBuffers(maxBytes int64) *buffers {
	return &buffers{
		pool:  sync.Pool{New: func() any { return new([chunkBytes]byte) }},
		space: make(chan struct{}, max(1, maxBytes/chunkBytes)),
	}
}

func (b *buffers) get(ctx context.Context, wait time.Duration) (*[chunkBytes]byte, error) {
	select {
	case b.space <- struct{}{}:
		return b.pool.Get().(*[chunkBytes]byte), nil
	default:
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case b.space <- struct{}{}:
		return b.pool.Get().(*[chunkBytes]byte), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timeout.C:
		return nil, exception(codeMemoryLimitExceeded, "MEMORY_LIMIT_EXCEEDED", "Memory for the bodies of requests is used up: send fewer or smaller inserts at a time")
	}
}

func (b *buffers) put(chunk *[chunkBytes]byte) {
	b.pool.Put(chunk)
	<-b.space
}

// body is the data of an INSERT, complete.
type body struct {
	from   *buffers
	chunks []*[chunkBytes]byte
	last   int // bytes in the last chunk
}

// readBody reads r to its end. A body that is cut, or that exceeds limit, is an error.
func (s *Server) readBody(ctx context.Context, r io.Reader, limit int64) (*body, error) {
	b := &body{from: s.buffers}
	for {
		chunk, err := s.buffers.get(ctx, s.cfg.WaitTimeout)
		if err != nil {
			b.free()
			return nil, err
		}
		n, ended, err := fill(r, chunk[:])
		b.chunks, b.last = append(b.chunks, chunk), n
		if err != nil {
			b.free()
			return nil, err
		}
		if int64(len(b.chunks)-1)*chunkBytes+int64(n) > limit {
			b.free()
			return nil, exception(codeQueryIsTooLarge, "QUERY_IS_TOO_LARGE", "The data of one INSERT may take %d bytes in the embedded engine: send it in parts", limit)
		}
		if ended {
			return b, nil
		}
	}
}

// fill reads until p is full or r has ended. Only io.EOF is the end: the readers below give cut
// bodies errors of their own.
func fill(r io.Reader, p []byte) (n int, ended bool, err error) {
	for n < len(p) {
		read, err := r.Read(p[n:])
		n += read
		if errors.Is(err, io.EOF) {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

func (b *body) free() {
	for _, c := range b.chunks {
		b.from.put(c)
	}
	b.chunks = nil
}

// each passes the data on in order, until yield says no.
func (b *body) each(yield func([]byte) bool) {
	for i, c := range b.chunks {
		n := chunkBytes
		if i == len(b.chunks)-1 {
			n = b.last
		}
		if !yield(c[:n]) {
			return
		}
	}
}

// bodyReader reads a request's body with a deadline for each read. Its only io.EOF is the true end;
// a body that ends before its declared length or without its last chunk is an exception.
type bodyReader struct {
	body    io.Reader
	control *http.ResponseController
	pause   time.Duration
	until   time.Time // the end of the whole body, if that is bounded
	ended   bool      // the true end was seen
}

func (r *bodyReader) Read(p []byte) (int, error) {
	deadline := time.Now().Add(r.pause)
	if !r.until.IsZero() && r.until.Before(deadline) {
		deadline = r.until
	}
	if err := r.control.SetReadDeadline(deadline); err != nil {
		return 0, fmt.Errorf("set the deadline of a read: %w", err)
	}
	n, err := r.body.Read(p)
	if errors.Is(err, io.EOF) {
		r.ended = true
		// Left in force, it would end the connection under a statement that takes longer.
		_ = r.control.SetReadDeadline(time.Time{}) // fails only on a connection that is gone
	}
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil || r.ended:
		return n, err
	case errors.As(err, &timeout) && timeout.Timeout():
		return n, exception(codeSocketTimeout, "SOCKET_TIMEOUT", "Timeout exceeded while receiving data from the client")
	}
	return n, exception(codeCannotReadAllData, "CANNOT_READ_ALL_DATA", "Cannot read all data: the body of the request was cut")
}
