package libchdb

import (
	"runtime"
	"unsafe"
)

// Insert is an INSERT in progress, with its data coming in pieces. The statement is in
// system.processes from the start.
type Insert struct {
	lib *Library
	p   unsafe.Pointer
}

// Insert starts one. sql is the statement up to but without FORMAT; what follows is data in the
// named format, any bytes.
func (c *Conn) Insert(sql, format string, params ...Param) (*Insert, error) {
	p := c.call(c.lib.insert, c.lib.insertParams, sql, format, params)
	if message := goString(c.lib.insertError(p)); message != "" {
		c.lib.insertDestroy(p)
		return nil, newError(message)
	}
	return &Insert{lib: c.lib, p: p}, nil
}

// Append hands over data; the engine copies it. It blocks while 16 pieces wait to be parsed. After
// an error the reason comes from Commit.
func (in *Insert) Append(data []byte) (ok bool) {
	if len(data) == 0 {
		return true
	}
	state := in.lib.insertAppend(in.p, unsafe.Pointer(unsafe.SliceData(data)), uintptr(len(data)))
	runtime.KeepAlive(data)
	return state == 0
}

// Commit ends the data and stores what was sent. After an error nothing of the last block is
// stored; data larger than one insert block (about a million rows or 256 MB) is stored in several.
func (in *Insert) Commit() (Stats, error) {
	res, err := in.lib.newResult(in.lib.insertDone(in.p))
	if err != nil {
		return Stats{}, err
	}
	defer res.Free()
	return res.Stats(), nil
}

// Close frees the stream; one that was not committed is abandoned.
func (in *Insert) Close() {
	if in.p != nil {
		in.lib.insertDestroy(in.p)
		in.p = nil
	}
}
