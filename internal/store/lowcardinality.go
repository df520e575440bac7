package store

import (
	"encoding/binary"
	"hash/maphash"
)

// names is a LowCardinality(String) column: a dictionary of the values that occur in
// the block, in order of their first occurrence, and for each row a place in it. The
// dictionary is a hash table over one buffer, so that it costs no allocation once the
// buffers have grown to the size of a block.
type names struct {
	dict  text     // the values in wire form
	spans []span   // of each value within dict
	keys  []uint32 // for each row the place of its value
	table []uint32 // hash table of places, each plus one; 0 is free; power of two long
	seed  maphash.Seed
	head  buffer // wire form of all but the dictionary's values
	tail  buffer // wire form of the keys

	last    []byte // value of the last row
	lastKey uint32 // and its place
}

type span struct{ start, end uint32 }

// minTable is the hash table's first size; it is doubled before it is half full.
const minTable = 64

func newNames() names {
	return names{seed: maphash.MakeSeed(), table: make([]uint32, minTable)}
}

func (c *names) put(v []byte) {
	// Consecutive rows often agree: no hash then.
	if len(c.keys) == 0 || string(c.last) != string(v) {
		c.lastKey = c.place(v)
		c.last = c.value(c.lastKey)
	}
	c.keys = append(c.keys, c.lastKey)
}

// repeat puts the last value again.
func (c *names) repeat() { c.keys = append(c.keys, c.lastKey) }

func (c *names) value(place uint32) []byte {
	s := c.spans[place]
	return c.dict.Buf[s.start:s.end]
}

// place returns the place of v in the dictionary, a new one if it is not there.
func (c *names) place(v []byte) uint32 {
	slot := c.slot(v)
	if found := c.table[slot]; found != 0 {
		return found - 1
	}
	c.dict.put(v)
	end := uint32(len(c.dict.Buf))
	c.spans = append(c.spans, span{end - uint32(len(v)), end})
	place := uint32(len(c.spans) - 1)
	c.table[slot] = place + 1
	if 2*len(c.spans) >= len(c.table) {
		c.grow()
	}
	return place
}

// slot returns where v is in the table, or the free place where it belongs.
func (c *names) slot(v []byte) int {
	mask := len(c.table) - 1
	for i := int(maphash.Bytes(c.seed, v)) & mask; ; i = (i + 1) & mask {
		if found := c.table[i]; found == 0 || string(c.value(found-1)) == string(v) {
			return i
		}
	}
}

func (c *names) grow() {
	size := 2 * len(c.table)
	c.table = make([]uint32, size)
	for place := range c.spans {
		c.table[c.slot(c.value(uint32(place)))] = uint32(place) + 1
	}
}

// Of the Native format's LowCardinality (SerializationLowCardinality.cpp): the version
// of the keys' serialization, then index type and flags in one word.
const (
	lowCardinalityVersion = 1
	hasAdditionalKeys     = 1 << 9
	needUpdateDictionary  = 1 << 10
)

// finishState writes what precedes all rows of the column, and of an Array of it.
func finishState(b *buffer) { b.PutUInt64(lowCardinalityVersion) }

func (c *names) finish() {
	c.head.Reset()
	c.tail.Reset()
	finishState(&c.head)
	c.finishRows()
}

// finishRows writes the rows after the state. No rows are no bytes.
func (c *names) finishRows() {
	if len(c.keys) == 0 {
		return
	}
	width, index := keyWidth(len(c.spans))
	c.head.PutUInt64(index | hasAdditionalKeys | needUpdateDictionary)
	c.head.PutUInt64(uint64(len(c.spans)))
	c.tail.PutUInt64(uint64(len(c.keys)))
	switch width {
	case 1:
		for _, k := range c.keys {
			c.tail.Buf = append(c.tail.Buf, byte(k))
		}
	case 2:
		for _, k := range c.keys {
			c.tail.Buf = binary.LittleEndian.AppendUint16(c.tail.Buf, uint16(k))
		}
	default:
		for _, k := range c.keys {
			c.tail.Buf = binary.LittleEndian.AppendUint32(c.tail.Buf, k)
		}
	}
}

// keyWidth returns the bytes of a key into a dictionary of n values, and the code of that type.
func keyWidth(n int) (width int, index uint64) {
	switch {
	case n <= 1<<8:
		return 1, 0
	case n <= 1<<16:
		return 2, 1
	}
	return 4, 2
}

func (c *names) parts(dst [][]byte) [][]byte {
	return append(dst, c.head.Buf, c.dict.Buf, c.tail.Buf)
}

func (c *names) rows() int { return len(c.keys) }

// lowCardinalityHead is what parts has beyond dictionary and keys.
const lowCardinalityHead = 4 * 8

func (c *names) size() int {
	width, _ := keyWidth(len(c.spans))
	return lowCardinalityHead + c.dict.size() + width*len(c.keys)
}

func (c *names) reset() {
	// A block with very many values must not make each later reset clear a huge table.
	if len(c.table) > minTable && len(c.table) > 16*len(c.spans) {
		c.table = make([]uint32, len(c.table)/2)
	} else {
		clear(c.table)
	}
	c.dict.reset()
	c.head.recycle()
	c.tail.recycle()
	c.spans, c.keys = c.spans[:0], c.keys[:0]
}

// nameSets is an Array(LowCardinality(String)) column.
type nameSets struct {
	state buffer // precedes the offsets
	ends  fixed
	item  names
}

func newNameSets() nameSets { return nameSets{ends: fixed{width: 8}, item: newNames()} }

func (c *nameSets) finish() {
	c.state.Reset()
	finishState(&c.state)
	c.item.head.Reset()
	c.item.tail.Reset()
	c.item.finishRows()
}

func (c *nameSets) parts(dst [][]byte) [][]byte {
	dst = append(dst, c.state.Buf, c.ends.Buf)
	return c.item.parts(dst)
}

func (c *nameSets) rows() int { return c.ends.rows() }
func (c *nameSets) size() int { return c.ends.size() + c.item.size() }

func (c *nameSets) reset() {
	c.state.Reset()
	c.ends.reset()
	c.item.reset()
}

func (c *nameSets) endRow() { c.ends.put64(uint64(c.item.rows())) }
