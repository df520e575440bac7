package store

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
)

// Columns hold their rows in the wire form of ClickHouse's Native format from the
// start, so that a block is sent without another pass over it. Only what depends on
// all rows of a column (the dictionary of a LowCardinality column) waits for finish.
// Appending cannot fail, so columns of one block cannot differ in length.
type column interface {
	// finish makes the column ready to be sent; parts appends what is to be sent.
	finish()
	parts(dst [][]byte) [][]byte
	// rows is the number of rows appended, size the bytes that parts will have, or more.
	rows() int
	size() int
	reset()
}

// fixed is a column of values of one width: numbers, Enum8, DateTime64, UUID, FixedString.
type fixed struct {
	buffer
	width int
}

func (c *fixed) finish()                     {}
func (c *fixed) parts(dst [][]byte) [][]byte { return append(dst, c.Buf) }
func (c *fixed) rows() int                   { return len(c.Buf) / c.width }
func (c *fixed) size() int                   { return len(c.Buf) }
func (c *fixed) reset()                      { c.recycle() }

func (c *fixed) put8(v uint8)        { c.Buf = append(c.Buf, v) }
func (c *fixed) put32(v uint32)      { c.Buf = binary.LittleEndian.AppendUint32(c.Buf, v) }
func (c *fixed) put64(v uint64)      { c.Buf = binary.LittleEndian.AppendUint64(c.Buf, v) }
func (c *fixed) putBytes(v []byte)   { c.Buf = append(c.Buf, v...) }
func (c *fixed) putUUID(id [16]byte) { c.Buf = appendUUID(c.Buf, id) }

// appendUUID writes a UUID as ClickHouse does: two little-endian words, the higher first.
func appendUUID(dst []byte, id [16]byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(id[:8]))
	return binary.LittleEndian.AppendUint64(dst, binary.BigEndian.Uint64(id[8:]))
}

// text is a String column.
type text struct {
	buffer
	n int
}

func (c *text) finish()                     {}
func (c *text) parts(dst [][]byte) [][]byte { return append(dst, c.Buf) }
func (c *text) rows() int                   { return c.n }
func (c *text) size() int                   { return len(c.Buf) }

func (c *text) reset() {
	c.recycle()
	c.n = 0
}

func (c *text) put(v []byte) {
	c.Buf = binary.AppendUvarint(c.Buf, uint64(len(v)))
	c.Buf = append(c.Buf, v...)
	c.n++
}

// uuids is an Array(UUID) column.
type uuids struct {
	ends fixed // after each row, the number of items so far
	item fixed
}

func newUUIDs() uuids { return uuids{ends: fixed{width: 8}, item: fixed{width: 16}} }

func (c *uuids) finish()                     {}
func (c *uuids) parts(dst [][]byte) [][]byte { return append(dst, c.ends.Buf, c.item.Buf) }
func (c *uuids) rows() int                   { return c.ends.rows() }
func (c *uuids) size() int                   { return c.ends.size() + c.item.size() }

func (c *uuids) reset() {
	c.ends.reset()
	c.item.reset()
}

// endRow ends a row whose items were put since the last one.
func (c *uuids) endRow() { c.ends.put64(uint64(c.item.rows())) }

// pairs is a Map(String, String) column.
type pairs struct {
	ends       fixed
	key, value text
}

func newPairs() pairs { return pairs{ends: fixed{width: 8}} }

func (c *pairs) finish()   {}
func (c *pairs) rows() int { return c.ends.rows() }
func (c *pairs) size() int { return c.ends.size() + c.key.size() + c.value.size() }

func (c *pairs) parts(dst [][]byte) [][]byte {
	return append(dst, c.ends.Buf, c.key.Buf, c.value.Buf)
}

func (c *pairs) reset() {
	c.ends.reset()
	c.key.reset()
	c.value.reset()
}

func (c *pairs) endRow() { c.ends.put64(uint64(c.key.rows())) }

// buffer is the memory of a column. It is kept from block to block, but not for ever
// after one block that was much larger than the others.
type buffer struct {
	proto.Buffer
	roomy int // blocks in a row that used less than a quarter of the memory
}

const (
	// keptBytes is always kept: what a column of 10,000 ordinary rows needs.
	keptBytes = 1 << 20
	// maxRoomy bounds how long memory that is mostly unused is held.
	maxRoomy = 32
)

func (b *buffer) recycle() {
	b.roomy++
	if len(b.Buf) >= cap(b.Buf)/4 || cap(b.Buf) <= keptBytes {
		b.roomy = 0
	}
	if b.roomy == maxRoomy {
		b.Buf, b.roomy = nil, 0
	}
	b.Buf = b.Buf[:0]
}
