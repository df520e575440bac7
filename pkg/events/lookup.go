package events

// nameTable finds the field of a member's name without a collision: each known name has a slot
// of its own.
type nameTable struct {
	multiplier uint32
	slots      [1 << nameTableBits]Field
}

// nameTableBits: ten slots a name, so that a multiplier without collisions is found at once.
const nameTableBits = 9

var knownNames = newNameTable()

// newNameTable tries multipliers until no two fields share a slot.
func newNameTable() (t nameTable) {
	for t.multiplier = 0x9E3779B1; ; t.multiplier += 2 {
		t.slots = [1 << nameTableBits]Field{}
		if t.fill() {
			return t
		}
	}
}

// fill puts each field into its slot, and reports whether none was taken.
func (t *nameTable) fill() bool {
	for f := FieldRecord + 1; f < NumFields; f++ {
		slot := t.slot(fields[f].group, []byte(fields[f].name))
		if t.slots[slot] != 0 {
			return false
		}
		t.slots[slot] = f
	}
	return true
}

// slot returns the slot of a name that is not empty. Group, length, first and middle byte tell
// all known names apart.
func (t *nameTable) slot(group Field, name []byte) uint32 {
	key := uint32(len(name)) | uint32(name[0])<<8 | uint32(name[len(name)/2])<<16 | uint32(group)<<24
	return key * t.multiplier >> (32 - nameTableBits)
}

// lookup returns the field called name in group, FieldRecord if the schema knows none.
func lookup(group Field, name []byte) Field {
	if len(name) == 0 {
		return FieldRecord
	}
	f := knownNames.slots[knownNames.slot(group, name)]
	if info := &fields[f]; info.group == group && info.name == string(name) {
		return f
	}
	return FieldRecord
}
