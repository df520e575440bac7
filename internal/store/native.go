package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ClickHouse/ch-go/proto"
)

// nativeRevision is that of the Native format when no client protocol is announced:
// the form it has in files.
const nativeRevision = 0

// readNative runs sql, which must end in FORMAT Native, and calls each after every
// block of the result was decoded into results, which are reused. Memory is bounded by
// one block. An error of each ends the reading and is returned as it is.
func (s *server) readNative(ctx context.Context, sql string, p params, results proto.Results, each func(rows int) error) error {
	return s.readBlocks(ctx, sql, p, func() (proto.Results, error) { return results, nil }, each)
}

// readBlocks is readNative where next says, before each block, what it is to be decoded into: blocks can then be kept while others are read. An error of next
// is returned as it is too.
func (s *server) readBlocks(ctx context.Context, sql string, p params, next func() (proto.Results, error), each func(rows int) error) error {
	resp, err := s.ask(ctx, sql, p)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &lastRead{r: resp.Body}
	// Large enough for proto.NewReader to take it as it is, so that it can be asked
	// whether the result ends between two blocks, as it should.
	buffered := bufio.NewReaderSize(body, 128<<10)
	in := proto.NewReader(buffered)
	var results proto.Results
	for {
		if _, err := buffered.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return body.explain(ctx, err)
		}
		if results == nil {
			if results, err = next(); err != nil {
				return err
			}
			for _, c := range results {
				if own, ok := c.Data.(streamColumn); ok {
					own.readFrom(buffered)
				}
			}
		}
		var block proto.Block
		if err := block.DecodeRawBlock(in, nativeRevision, results); err != nil {
			return body.explain(ctx, err)
		}
		if block.Rows == 0 {
			continue // a header: names and types only
		}
		if err := each(block.Rows); err != nil {
			return err
		}
		results = nil
	}
}

// keptAtEnd is how much of a response's end is kept: an exception's text is shorter.
const keptAtEnd = 4 << 10

// lastRead keeps the end of what was read from a response: an exception that occurs
// after the status was sent stands there.
type lastRead struct {
	r    io.Reader
	last []byte
	err  error // what ended r, if not io.EOF
}

func (l *lastRead) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if keep := keptAtEnd; n >= keep {
		l.last = append(l.last[:0], p[n-keep:n]...)
	} else if n > 0 {
		if over := len(l.last) + n - keep; over > 0 {
			l.last = append(l.last[:0], l.last[over:]...)
		}
		l.last = append(l.last, p[:n]...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = err
	}
	return n, err
}

// drainBytes is how much more is read behind a place that made no sense, to find the
// exception that ends the response.
const drainBytes = 1 << 20

// explain returns why a result could not be decoded: the exception that the server
// wrote into it, what happened to the connection, or else what the decoder found.
func (l *lastRead) explain(ctx context.Context, found error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, _ = io.CopyN(io.Discard, l, drainBytes) // what ended it is in l.err
	if e := parseException(l.last); e != nil {
		return e
	}
	if l.err != nil {
		return fmt.Errorf("read result: %w", l.err)
	}
	return fmt.Errorf("decode result: %w", found)
}
