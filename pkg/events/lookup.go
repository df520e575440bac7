package events

import (
	"encoding/binary"
	"math/bits"
)

// nameTable finds the field of a member's name. Each known name has a slot of its own, so one
// comparison decides.
type nameTable struct {
	multiplier uint64
	slots      [1 << nameTableBits]nameEntry
}

// nameEntry is a known name of a group; field is FieldRecord in a free slot.
type nameEntry struct {
	name  packedName
	group Field
	field Field
}

// packedName is a name of at most 16 bytes as two little-endian words, zero behind its end.
type packedName struct{ low, high uint64 }

// nameTableBits: ten slots a name, so that a multiplier without collisions is soon found.
const nameTableBits = 9

var knownNames = newNameTable()

// newNameTable tries multipliers until no two fields share a slot.
func newNameTable() (t nameTable) {
	for t.multiplier = 0x9E3779B97F4A7C15; ; t.multiplier += 2 {
		clear(t.slots[:])
		if t.fill() {
			return t
		}
	}
}

// fill puts each field into its slot, and reports whether none was taken.
func (t *nameTable) fill() bool {
	for f := FieldRecord + 1; f < NumFields; f++ {
		name, ok := packName([]byte(fields[f].name))
		if !ok {
			panic("a field's name is longer than 16 bytes: " + fields[f].path)
		}
		entry := t.slot(fields[f].group, name)
		if entry.field != FieldRecord {
			return false
		}
		*entry = nameEntry{name, fields[f].group, f}
	}
	return true
}

func (t *nameTable) slot(group Field, name packedName) *nameEntry {
	hash := (name.low ^ bits.RotateLeft64(name.high, 29) ^ uint64(group)<<56) * t.multiplier
	return &t.slots[hash>>(64-nameTableBits)]
}

// lookup returns the field called name in group, FieldRecord if the schema knows none.
func (t *nameTable) lookup(group Field, name packedName) Field {
	if entry := t.slot(group, name); entry.name == name && entry.group == group {
		return entry.field
	}
	return FieldRecord
}

// packName packs a name; ok is false if it is too long to be known. A NUL in a name could be
// taken for its end, so such a name is not packed either.
func packName(name []byte) (packed packedName, ok bool) {
	if len(name) > 16 {
		return packedName{}, false
	}
	for i, c := range name {
		if c == 0 {
			return packedName{}, false
		}
		if i < 8 {
			packed.low |= uint64(c) << (8 * i)
		} else {
			packed.high |= uint64(c) << (8 * (i - 8))
		}
	}
	return packed, true
}

// knownName recognises a known name without escapes at its opening quote, skips it, and returns
// its field. For anything else it returns FieldRecord and skips nothing.
func (p *Parser) knownName(group Field) Field {
	b := p.record[p.pos+1:]
	if len(b) < 17 {
		return FieldRecord
	}
	name := packedName{low: binary.LittleEndian.Uint64(b)}
	end := bits.TrailingZeros64(stringHits(name.low))
	if end < 64 {
		name.low &= 1<<(end&^7) - 1
		end >>= 3
	} else {
		name.high = binary.LittleEndian.Uint64(b[8:])
		end = bits.TrailingZeros64(stringHits(name.high))
		name.high &= 1<<(end&^7) - 1 // all of it if end is 64
		end = 8 + end>>3
	}
	if b[end] != '"' {
		return FieldRecord
	}
	f := knownNames.lookup(group, name)
	if f != FieldRecord {
		p.pos += 1 + end + 1
	}
	return f
}
