package libchdb

import (
	"fmt"
	"regexp"
	"strconv"
	"unsafe"
)

// Result is an answer of the engine, in its memory.
type Result struct {
	lib *Library
	p   unsafe.Pointer
}

// newResult takes over an answer; one that carries an error is freed and returned as *Error.
func (lib *Library) newResult(p unsafe.Pointer) (*Result, error) {
	if p == nil {
		return nil, &Error{Code: codeUnknown, Message: "the engine returned nothing"}
	}
	if message := goString(lib.resultError(p)); message != "" {
		lib.resultDestroy(p)
		return nil, newError(message)
	}
	return &Result{lib: lib, p: p}, nil
}

// Bytes is the answer in the format asked for. It aliases the engine's memory until Free.
func (r *Result) Bytes() []byte {
	n := r.lib.resultLength(r.p)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(r.lib.resultBuffer(r.p)), int(n))
}

// Stats are the engine's figures for a statement, or for a chunk of a stream.
type Stats struct {
	ResultRows, ResultBytes   uint64
	ReadRows, ReadBytes       uint64 // from storage
	WrittenRows, WrittenBytes uint64 // a dropped duplicate counts as written
	ElapsedSeconds            float64
}

// Stats reads them; not after Free.
func (r *Result) Stats() Stats {
	return Stats{
		ResultRows: r.lib.resultRows(r.p), ResultBytes: r.lib.resultBytes(r.p),
		ReadRows: r.lib.resultReadRows(r.p), ReadBytes: r.lib.resultReadBytes(r.p),
		WrittenRows: r.lib.resultWrittenRows(r.p), WrittenBytes: r.lib.resultWrittenBytes(r.p),
		ElapsedSeconds: r.lib.resultElapsed(r.p),
	}
}

// Free gives the memory back. A second call does nothing.
func (r *Result) Free() {
	if r.p != nil {
		r.lib.resultDestroy(r.p)
		r.p = nil
	}
}

// Error is an exception of the engine. Message is ClickHouse's own text and may quote the
// statement: it goes to the client that sent it and to no log.
type Error struct {
	Code    int
	Message string
}

func (e *Error) Error() string { return e.Message }

// codeUnknown is ClickHouse's UNKNOWN_EXCEPTION.
const codeUnknown = 1002

var errorCode = regexp.MustCompile(`Code: (\d+)\. `)

func newError(message string) *Error {
	at := errorCode.FindStringSubmatchIndex(message)
	if at == nil {
		return &Error{Code: codeUnknown, Message: fmt.Sprintf("Code: %d. DB::Exception: %s (UNKNOWN_EXCEPTION)", codeUnknown, message)}
	}
	code, err := strconv.Atoi(message[at[2]:at[3]])
	if err != nil {
		code = codeUnknown
	}
	return &Error{Code: code, Message: message[at[0]:]}
}
