package libchdb

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"
)

// Conn is one connection: a session of the engine with settings and a current database of its
// own. It runs one statement at a time; callers see to that. [Conn.Classify] is a statement too.
type Conn struct {
	lib    *Library
	handle unsafe.Pointer // chdb_connection *, for closing
	conn   unsafe.Pointer // chdb_connection
}

// Connect opens a connection. The first one starts the engine in the directory that "--path=DIR"
// names, later ones must name the same. "--setting=value" sets a query setting for this
// connection. A second process on the directory fails with code 76.
func (lib *Library) Connect(args ...string) (*Conn, error) {
	argv := newCStrings(append([]string{"clickhouse"}, args...))
	defer argv.unpin()
	restore, err := lib.guardSignals()
	if err != nil {
		return nil, fmt.Errorf("connect to the engine: %w", err)
	}
	defer restore()
	handle := lib.connect(int32(len(args)+1), argv.pointers())
	if handle == nil {
		return nil, errors.New("connect to the engine: it refused; its own words are on standard error")
	}
	return &Conn{lib: lib, handle: handle, conn: *(*unsafe.Pointer)(handle)}, nil
}

// Close ends the connection; closing the last one stops the engine and flushes what it holds.
func (c *Conn) Close() {
	if c.handle != nil {
		c.lib.closeOne(c.handle)
		c.handle, c.conn = nil, nil
	}
}

// Param is the value of a {name:Type} placeholder. Placeholders are bound by the engine, never
// pasted into the text.
type Param struct{ Name, Value string }

// Query runs one statement and holds its whole answer in memory. The text must carry no data of an
// INSERT: see [Conn.Insert].
func (c *Conn) Query(sql, format string, params ...Param) (*Result, error) {
	p := c.call(c.lib.query, c.lib.queryParams, sql, format, params)
	return c.lib.newResult(p)
}

// Stream is a SELECT in progress.
type Stream struct {
	conn *Conn
	res  *Result
	done bool
}

// Stream starts a SELECT whose answer is fetched chunk by chunk. Other statements that return rows
// (SHOW, DESCRIBE, EXPLAIN) go through Query.
func (c *Conn) Stream(sql, format string, params ...Param) (*Stream, error) {
	p := c.call(c.lib.stream, c.lib.streamParams, sql, format, params)
	res, err := c.lib.newResult(p)
	if err != nil {
		return nil, err
	}
	return &Stream{conn: c, res: res}, nil
}

// Next returns the next chunk, or nil at the end. The caller frees it.
func (s *Stream) Next() (*Result, error) {
	if s.done {
		return nil, nil
	}
	res, err := s.conn.lib.newResult(s.conn.lib.streamFetch(s.conn.conn, s.res.p))
	if err != nil {
		s.done = true
		return nil, err
	}
	if len(res.Bytes()) == 0 {
		s.done = true
		res.Free()
		return nil, nil
	}
	return res, nil
}

// Close ends the query, early if need be, and frees the connection for the next statement.
func (s *Stream) Close() {
	if !s.done {
		s.conn.lib.streamCancel(s.conn.conn, s.res.p)
		s.done = true
	}
	s.res.Free()
}

type (
	callPlain  = func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr) unsafe.Pointer
	callParams = func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
)

func (c *Conn) call(plain callPlain, with callParams, sql, format string, params []Param) unsafe.Pointer {
	defer runtime.KeepAlive(sql)
	defer runtime.KeepAlive(format)
	q, f := unsafe.Pointer(unsafe.StringData(sql)), unsafe.Pointer(unsafe.StringData(format))
	if len(params) == 0 {
		return plain(c.conn, q, uintptr(len(sql)), f, uintptr(len(format)))
	}
	names, values := make([]string, len(params)), make([]string, len(params))
	for i, p := range params {
		names[i], values[i] = p.Name, p.Value
	}
	n, v := newCStrings(names), newCStrings(values)
	defer n.unpin()
	defer v.unpin()
	return with(c.conn, q, uintptr(len(sql)), f, uintptr(len(format)),
		n.pointers(), n.lengths(), v.pointers(), v.lengths(), uintptr(len(params)))
}

// cStrings is an array of NUL-terminated strings and one of their lengths, pinned for a call.
type cStrings struct {
	ptrs []*byte
	lens []uintptr
	pin  runtime.Pinner
}

func newCStrings(list []string) *cStrings {
	c := &cStrings{ptrs: make([]*byte, len(list)+1), lens: make([]uintptr, len(list)+1)}
	for i, s := range list {
		b := append([]byte(s), 0)
		c.pin.Pin(&b[0])
		c.ptrs[i], c.lens[i] = &b[0], uintptr(len(s))
	}
	c.pin.Pin(&c.ptrs[0])
	c.pin.Pin(&c.lens[0])
	return c
}

func (c *cStrings) pointers() unsafe.Pointer { return unsafe.Pointer(&c.ptrs[0]) }
func (c *cStrings) lengths() unsafe.Pointer  { return unsafe.Pointer(&c.lens[0]) }
func (c *cStrings) unpin()                   { c.pin.Unpin() }
