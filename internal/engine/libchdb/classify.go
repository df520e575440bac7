package libchdb

import (
	"errors"
	"runtime"
	"unsafe"
)

// Class is what the engine's parser says a statement does.
type Class uint32

// The classes, in the engine's numbering.
const (
	ReadOnly       Class = iota // SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK
	Mutating                    // writes or defines tables
	MutatingGlobal              // functions, named collections, access, anything in the database system
	Control                     // SET, USE, SYSTEM, KILL, BACKUP, …, and a read INTO OUTFILE
	Unknown                     // not parsed
)

// Analysis is the parser's view of a text.
type Analysis struct {
	Statements int // 0 if the text does not parse
	Class      Class
}

// analysisV1 is struct chdb_query_analysis_v1.
type analysisV1 struct {
	structSize, statementCount, flags, class uint32
}

// Classify parses a text without running it. The connection's settings and database count.
func (c *Conn) Classify(sql string) (Analysis, error) {
	out := analysisV1{structSize: uint32(unsafe.Sizeof(analysisV1{})), class: uint32(Unknown)}
	state := c.lib.classify(c.conn, unsafe.Pointer(unsafe.StringData(sql)), uintptr(len(sql)), nil, 0, unsafe.Pointer(&out))
	runtime.KeepAlive(sql)
	if state != 0 {
		return Analysis{}, errors.New("the engine could not classify the statement")
	}
	return Analysis{Statements: int(out.statementCount), Class: Class(out.class)}, nil
}
