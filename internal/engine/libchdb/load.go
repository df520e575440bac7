package libchdb

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// Library is libchdb.so, loaded. It cannot be unloaded: the engine starts threads of its own.
type Library struct {
	path string

	connect  func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeOne func(conn unsafe.Pointer)
	version  func() unsafe.Pointer

	query       func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr) unsafe.Pointer
	queryParams func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	classify    func(conn, q unsafe.Pointer, qn uintptr, db unsafe.Pointer, dbn uintptr, out unsafe.Pointer) int32

	stream       func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr) unsafe.Pointer
	streamParams func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	streamFetch  func(conn, res unsafe.Pointer) unsafe.Pointer
	streamCancel func(conn, res unsafe.Pointer)

	insert        func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr) unsafe.Pointer
	insertParams  func(conn, q unsafe.Pointer, qn uintptr, f unsafe.Pointer, fn uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	insertAppend  func(ins, data unsafe.Pointer, n uintptr) int32
	insertDone    func(ins unsafe.Pointer) unsafe.Pointer
	insertCancel  func(ins unsafe.Pointer)
	insertError   func(ins unsafe.Pointer) unsafe.Pointer
	insertDestroy func(ins unsafe.Pointer)

	resultDestroy      func(res unsafe.Pointer)
	resultBuffer       func(res unsafe.Pointer) unsafe.Pointer
	resultLength       func(res unsafe.Pointer) uintptr
	resultError        func(res unsafe.Pointer) unsafe.Pointer
	resultElapsed      func(res unsafe.Pointer) float64
	resultRows         func(res unsafe.Pointer) uint64
	resultBytes        func(res unsafe.Pointer) uint64
	resultReadRows     func(res unsafe.Pointer) uint64
	resultReadBytes    func(res unsafe.Pointer) uint64
	resultWrittenRows  func(res unsafe.Pointer) uint64
	resultWrittenBytes func(res unsafe.Pointer) uint64

	setSignalHandlers func(enabled int32)

	// signals serializes the stretches in which the engine may replace signal handlers.
	signals sync.Mutex
}

// Load maps the library at path and binds its functions. It fails if any is missing: without the
// streaming insert, data would have to travel inside the SQL text, which the engine splits at the
// first blank line and then runs the rest of as SQL.
//
// Loading takes about a second. Signal handlers are the same afterwards as before.
func Load(path string) (lib *Library, err error) {
	lib = &Library{path: path}
	restore, err := lib.guardSignals()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	defer restore()

	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	for _, f := range lib.functions() {
		symbol, err := purego.Dlsym(handle, f.name)
		if err != nil || symbol == 0 {
			return nil, fmt.Errorf("load %s: function %s is missing; it is not the library version this program was built for", path, f.name)
		}
		purego.RegisterFunc(f.target, symbol)
	}
	lib.setSignalHandlers(0)
	return lib, nil
}

// function ties a name in the library to the Go function variable that calls it.
type function struct {
	name   string
	target any
}

func (lib *Library) functions() []function {
	return []function{
		{"chdb_connect", &lib.connect},
		{"chdb_close_conn", &lib.closeOne},
		{"chdb_version", &lib.version},
		{"chdb_query_n", &lib.query},
		{"chdb_query_with_params_n", &lib.queryParams},
		{"chdb_classify_query_n", &lib.classify},
		{"chdb_stream_query_n", &lib.stream},
		{"chdb_stream_query_with_params_n", &lib.streamParams},
		{"chdb_stream_fetch_result", &lib.streamFetch},
		{"chdb_stream_cancel_query", &lib.streamCancel},
		{"chdb_stream_insert_n", &lib.insert},
		{"chdb_stream_insert_with_params_n", &lib.insertParams},
		{"chdb_stream_append", &lib.insertAppend},
		{"chdb_stream_done", &lib.insertDone},
		{"chdb_stream_cancel_insert", &lib.insertCancel},
		{"chdb_stream_insert_error", &lib.insertError},
		{"chdb_destroy_insert_stream", &lib.insertDestroy},
		{"chdb_destroy_query_result", &lib.resultDestroy},
		{"chdb_result_buffer", &lib.resultBuffer},
		{"chdb_result_length", &lib.resultLength},
		{"chdb_result_error", &lib.resultError},
		{"chdb_result_elapsed", &lib.resultElapsed},
		{"chdb_result_rows_read", &lib.resultRows},
		{"chdb_result_bytes_read", &lib.resultBytes},
		{"chdb_result_storage_rows_read", &lib.resultReadRows},
		{"chdb_result_storage_bytes_read", &lib.resultReadBytes},
		{"chdb_result_rows_written", &lib.resultWrittenRows},
		{"chdb_result_bytes_written", &lib.resultWrittenBytes},
		{"chdb_set_signal_handlers_enabled", &lib.setSignalHandlers},
	}
}

// Version is the engine's own version, e.g. "26.7.3".
func (lib *Library) Version() string { return goString(lib.version()) }

// goString copies a NUL-terminated string of the engine.
func goString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
