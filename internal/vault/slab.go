package vault

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

const (
	maxShards        = 64
	subjectsPerShard = 4096 // at least, so that shards fill evenly
	slotsPerChunk    = 512
	minIndex         = 16        // a power of two
	slotMask         = 1<<32 - 1 // where the number of the slot is in an element of the index
)

// BytesPerSubject is about what a Cache takes for each subject: its slot, its share of an index that is half full, and of the last chunk.
const BytesPerSubject = 212

// slabKey is the beginning of a look-up hash: uniform, and unpredictable without the look-up key.
type slabKey [16]byte

// slab holds subjects by key, up to a bound, in memory without pointers: the garbage collector looks at none of a million subjects. It is safe for
// concurrent use.
type slab struct {
	shards []shard
	mask   uint64
}

// shard is a part of the slab. Keys are spread evenly over the shards, so each has the same share of the bound.
type shard struct {
	capacity int

	// mu guards everything below. Readers share it, and set only slot.used, atomically.
	mu sync.RWMutex
	// chunks hold the slots. They are never moved, because copies of keys would be left behind.
	chunks []*[slotsPerChunk]slot
	// index finds slots: open addressing with linear probing. An element is the upper half of the key's hash and the number of the slot plus one, 0 if
	// empty. Its length is a power of two, at least twice the number of subjects.
	index []uint64
	count int      // subjects
	free  []uint32 // slots below len(chunks)*slotsPerChunk that are empty again
	next  uint32   // first slot that was never used
	hand  uint32   // where the search for a slot to evict goes on
}

// slot is a subject. A zero subject id means empty: pseudonyms are random.
type slot struct {
	key     slabKey
	subject CachedSubject
	used    uint32 // since the hand passed last; a new subject need not be, the hand has just been there
}

// newSlab returns an empty slab for so many subjects.
func newSlab(bound int) *slab {
	n := 1
	for n < maxShards && bound/(2*n) >= subjectsPerShard {
		n *= 2
	}
	return newShards(n, bound)
}

func newShards(n, bound int) *slab {
	s := &slab{shards: make([]shard, n), mask: uint64(n - 1)}
	for i := range s.shards {
		s.shards[i].capacity = max(1, bound/n)
		s.shards[i].index = make([]uint64, minIndex)
	}
	return s
}

// The key is a hash already. Its halves serve for the shard and for the place in the index.
func (s *slab) shard(key slabKey) *shard {
	return &s.shards[binary.LittleEndian.Uint64(key[8:])&s.mask]
}

func (key *slabKey) hash() uint64 { return binary.LittleEndian.Uint64(key[:8]) }

// get copies a subject to dst.
func (s *slab) get(key slabKey, dst *CachedSubject) bool {
	sh := s.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	at := sh.find(&key)
	if at < 0 {
		return false
	}
	found := sh.slot(uint32(sh.index[at]) - 1)
	*dst = found.subject
	// Written only if it changes, so that a subject in use by several goroutines does not travel between processors.
	if atomic.LoadUint32(&found.used) == 0 {
		atomic.StoreUint32(&found.used, 1)
	}
	return true
}

// id returns a subject's pseudonym, without its keys.
func (s *slab) id(key slabKey) (id gdpr.SubjectID, ok bool) {
	sh := s.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	at := sh.find(&key)
	if at < 0 {
		return id, false
	}
	found := sh.slot(uint32(sh.index[at]) - 1)
	if atomic.LoadUint32(&found.used) == 0 {
		atomic.StoreUint32(&found.used, 1)
	}
	return found.subject.ID, true
}

func (s *slab) has(key slabKey) bool {
	sh := s.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.find(&key) >= 0
}

// put stores a subject, in place of another one if the shard is full.
func (s *slab) put(key slabKey, subject *CachedSubject) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if at := sh.find(&key); at >= 0 {
		sh.slot(uint32(sh.index[at]) - 1).subject = *subject
		return
	}
	if sh.count >= sh.capacity {
		sh.evict()
	}
	number := sh.allocate()
	*sh.slot(number) = slot{key: key, subject: *subject}
	sh.count++
	if 2*sh.count > len(sh.index) {
		sh.grow()
	}
	sh.insert(key.hash(), number)
}

// drop wipes the subjects with these ids.
func (s *slab) drop(ids map[gdpr.SubjectID]struct{}) {
	for i := range s.shards {
		s.shards[i].drop(ids)
	}
}

// clear wipes everything and gives the memory back.
func (s *slab) clear() {
	for i := range s.shards {
		s.shards[i].clear()
	}
}

func (s *slab) len() int {
	n := 0
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.RLock()
		n += sh.count
		sh.mu.RUnlock()
	}
	return n
}

func (sh *shard) slot(number uint32) *slot {
	return &sh.chunks[number/slotsPerChunk][number%slotsPerChunk]
}

// find returns the key's place in the index, -1 if it is not there.
func (sh *shard) find(key *slabKey) int {
	hash := key.hash()
	mask := uint64(len(sh.index) - 1)
	for at := hash & mask; ; at = (at + 1) & mask {
		element := sh.index[at]
		if element == 0 {
			return -1
		}
		if element>>32 == hash>>32 && sh.slot(uint32(element)-1).key == *key {
			return int(at)
		}
	}
}

// insert puts a slot that is not there into the index, which has room.
func (sh *shard) insert(hash uint64, number uint32) {
	mask := uint64(len(sh.index) - 1)
	at := hash & mask
	for sh.index[at] != 0 {
		at = (at + 1) & mask
	}
	sh.index[at] = hash&^slotMask | uint64(number+1)
}

func (sh *shard) grow() {
	old := sh.index
	sh.index = make([]uint64, 2*len(old))
	for _, element := range old {
		if element != 0 {
			number := uint32(element) - 1
			sh.insert(sh.slot(number).key.hash(), number)
		}
	}
}

// allocate returns an empty slot.
func (sh *shard) allocate() uint32 {
	if n := len(sh.free); n > 0 {
		number := sh.free[n-1]
		sh.free = sh.free[:n-1]
		return number
	}
	number := sh.next
	if int(number) == len(sh.chunks)*slotsPerChunk {
		sh.chunks = append(sh.chunks, new([slotsPerChunk]slot))
	}
	sh.next++
	return number
}

// remove wipes the slot at a place in the index, and closes the gap: elements that were pushed past it by others move back.
func (sh *shard) remove(at int) {
	number := uint32(sh.index[at]) - 1
	*sh.slot(number) = slot{}
	sh.free = append(sh.free, number)
	sh.count--
	mask := uint64(len(sh.index) - 1)
	gap := uint64(at)
	for probe := (gap + 1) & mask; sh.index[probe] != 0; probe = (probe + 1) & mask {
		home := sh.slot(uint32(sh.index[probe])-1).key.hash() & mask
		// It may move if its home is not between the gap and it.
		if (probe-home)&mask >= (probe-gap)&mask {
			sh.index[gap] = sh.index[probe]
			gap = probe
		}
	}
	sh.index[gap] = 0
}

// evict removes a subject that was not used since the hand came by last ("clock"): close to the least recently used one, without order to maintain.
func (sh *shard) evict() {
	for {
		candidate := sh.slot(sh.hand)
		sh.hand++
		if sh.hand == sh.next {
			sh.hand = 0
		}
		if candidate.subject.ID == (gdpr.SubjectID{}) {
			continue
		}
		if atomic.LoadUint32(&candidate.used) != 0 {
			atomic.StoreUint32(&candidate.used, 0)
			continue
		}
		sh.remove(sh.find(&candidate.key))
		return
	}
}

func (sh *shard) drop(ids map[gdpr.SubjectID]struct{}) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for number := range sh.next {
		found := sh.slot(number)
		if found.subject.ID == (gdpr.SubjectID{}) {
			continue
		}
		if _, ok := ids[found.subject.ID]; ok {
			sh.remove(sh.find(&found.key))
		}
	}
}

func (sh *shard) clear() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, chunk := range sh.chunks {
		clear(chunk[:])
	}
	sh.chunks, sh.index, sh.free = nil, make([]uint64, minIndex), nil
	sh.count, sh.next, sh.hand = 0, 0, 0
}
