package kafkaio

import (
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// response is the memory of one answer. Batches whose records alias it hold it; the last to let go gives it back.
type response struct {
	buf     []byte
	holders atomic.Int32
	pool    chan<- *response
	keep    int // larger buffers are not reused
}

func (r *response) hold() *response {
	r.holders.Add(1)
	return r
}

func (r *response) release() {
	if r.holders.Add(-1) > 0 {
		return
	}
	if cap(r.buf) > r.keep {
		r.buf = nil
	}
	select {
	case r.pool <- r:
	default:
	}
}

// readStep is what is read under one deadline.
const readStep = 1 << 20

// read fills the buffer with n bytes, each MiB within its patience. A large one grows as bytes arrive, so a length that is wrong costs little memory.
func (r *response) read(from net.Conn, n int, patience time.Duration) error {
	if n < 0 || n > maxResponseBytes {
		return fmt.Errorf("an answer of %d bytes: at most %d are read (is it Kafka, and is the topic's max.message.bytes below that?)", n, maxResponseBytes)
	}
	r.buf = r.buf[:0]
	if n <= r.keep {
		r.buf = slices.Grow(r.buf, n) // harmless if it is wrong
	}
	for len(r.buf) < n {
		have, step := len(r.buf), min(n-len(r.buf), readStep)
		if cap(r.buf)-have < step {
			r.buf = slices.Grow(r.buf, step)
		}
		r.buf = r.buf[:have+step]
		if have > 0 {
			if err := from.SetDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(from, r.buf[have:]); err != nil {
			return err
		}
	}
	return nil
}

// slab is the memory of one Batch.
type slab struct {
	records  []Record
	next     int64        // where to continue after records
	response *response    // what records alias; nil if they alias plain only
	plain    []byte       // unpacked records
	headers  []Header     // what records[i].Headers are cut from
	pool     chan<- *slab // where it goes when it is released
	keep     int          // larger memory is not reused
}

// recycle empties a slab and puts it back.
func (s *slab) recycle() {
	if s.response != nil {
		s.response.release()
		s.response = nil
	}
	clear(s.records) // so that memory which is not reused can be collected
	clear(s.headers)
	s.records, s.headers, s.plain, s.next = s.records[:0], s.headers[:0], s.plain[:0], 0
	if cap(s.plain) > s.keep {
		s.plain = nil
	}
	select {
	case s.pool <- s:
	default:
	}
}

// memory is what one partition may use: FetchDepth Batches, and an answer more than that. It is made once for each Follow.
type memory struct {
	slabs     chan *slab
	responses chan *response
}

func newMemory(depth, maxBytes int) *memory {
	m := &memory{slabs: make(chan *slab, depth), responses: make(chan *response, depth+1)}
	for range depth {
		m.slabs <- &slab{pool: m.slabs, keep: 2 * maxBytes}
	}
	for range depth + 1 {
		m.responses <- &response{pool: m.responses, keep: 2 * maxBytes}
	}
	return m
}

// response returns memory for one answer, held once. There always is some: FetchDepth batches hold one each at most.
func (m *memory) response() *response {
	r := <-m.responses
	r.holders.Store(1)
	return r
}
