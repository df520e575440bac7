package events

import "hash/maphash"

// nameSet finds a second member of one name in an object. Names are compared unescaped. It
// serves all objects of a record that are open at a time, and keeps its memory for the next.
type nameSet struct {
	record []byte
	open   []span // names of small objects that are open, those of the innermost last

	// Names of large objects, in a hash table with linear probing: comparing each with each
	// would take minutes for a record of 100,000 names.
	table   []nameSlot
	used    int
	objects uint32 // large objects so far
	seed    maphash.Seed

	scratch []byte // the unescaped name at hand
}

// nameSlot is a name of a large object; object 0 is a free slot.
type nameSlot struct {
	object uint32
	hash   uint32
	name   span
}

// nameScope is one open object.
type nameScope struct {
	first int    // its first name in nameSet.open
	large uint32 // its number in the table once it is large, else 0
}

const (
	// smallObject is the number of names up to which comparing each with each is fastest.
	smallObject = 16

	// keptNameSlots limits the memory kept after a record with very many names (64 KiB).
	keptNameSlots = 4096
)

// reset makes the set ready for a record.
func (n *nameSet) reset(record []byte) {
	n.record = record
	n.open = n.open[:0]
	if n.used == 0 {
		return
	}
	if len(n.table) > keptNameSlots {
		n.table = nil
	}
	clear(n.table)
	n.used, n.objects = 0, 0
}

func (n *nameSet) begin() nameScope { return nameScope{first: len(n.open)} }

func (n *nameSet) end(s *nameScope) { n.open = n.open[:s.first] }

// add notes a name of the innermost object, and reports whether it is new there.
func (n *nameSet) add(s *nameScope, name span) bool {
	value := name.unescape(n.record, &n.scratch)
	if s.large != 0 {
		return n.insert(s.large, name, value)
	}
	for _, other := range n.open[s.first:] {
		if n.equal(other, value) {
			return false
		}
	}
	n.open = append(n.open, name)
	if len(n.open)-s.first > smallObject {
		n.enlarge(s)
	}
	return true
}

// enlarge moves the names of the innermost object to the table.
func (n *nameSet) enlarge(s *nameScope) {
	n.objects++
	s.large = n.objects
	for _, name := range n.open[s.first:] {
		n.insert(s.large, name, name.unescape(n.record, &n.scratch))
	}
	n.end(s)
}

// insert adds a name with its unescaped value to the table, and reports whether it was new.
func (n *nameSet) insert(object uint32, name span, value []byte) bool {
	if 2*n.used >= len(n.table) {
		n.grow()
	}
	hash := uint32(maphash.Bytes(n.seed, value)) ^ object*0x9E3779B1
	slot := n.find(object, hash, value)
	if n.table[slot].object != 0 {
		return false
	}
	n.table[slot] = nameSlot{object, hash, name}
	n.used++
	return true
}

// find returns the slot of a name, or the free one where it belongs.
func (n *nameSet) find(object, hash uint32, value []byte) int {
	mask := len(n.table) - 1
	for slot := int(hash) & mask; ; slot = (slot + 1) & mask {
		s := &n.table[slot]
		if s.object == 0 || s.object == object && s.hash == hash && n.equal(s.name, value) {
			return slot
		}
	}
}

// grow doubles the table. A new one gets a new seed, so that nobody can choose names that collide.
func (n *nameSet) grow() {
	old := n.table
	if old == nil {
		n.seed = maphash.MakeSeed()
	}
	n.table = make([]nameSlot, max(64, 2*len(old)))
	mask := len(n.table) - 1
	for _, s := range old {
		if s.object == 0 {
			continue
		}
		slot := int(s.hash) & mask
		for n.table[slot].object != 0 {
			slot = (slot + 1) & mask
		}
		n.table[slot] = s
	}
}

// equal tells whether a noted name has the value.
func (n *nameSet) equal(name span, value []byte) bool {
	if !name.hasEscapes() {
		return string(name.of(n.record)) == string(value)
	}
	return unescapedEqual(name.of(n.record), value)
}
