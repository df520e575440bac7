package vault

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"github.com/agentaudit/agentaudit/pkg/gdpr"
	"pgregory.net/rapid"
)

// cached makes a subject that can be told from all others.
func cached(n uint64) *CachedSubject {
	var keys gdpr.Keys
	binary.LittleEndian.PutUint64(keys.ID[:], n)
	binary.LittleEndian.PutUint64(keys.Content[:], n)
	s := &CachedSubject{Keys: gdpr.Prepare(&keys)}
	s.ID[15] = 1
	binary.LittleEndian.PutUint64(s.ID[:], n)
	return s
}

// The slab against a map. Keys are made to collide: few shards, few places in the index.
func TestSlabModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.IntRange(1, 40).Draw(t, "bound")
		shards := 1 << rapid.IntRange(0, 2).Draw(t, "shards")
		s := newShards(shards, bound)
		model := make(map[slabKey]*CachedSubject)
		key := rapid.Custom(func(t *rapid.T) slabKey {
			var k slabKey
			// Few homes in the index, some of them at its end so that probing wraps around; equal upper halves too.
			binary.LittleEndian.PutUint64(k[:8], rapid.SampledFrom([]uint64{0, 1, 13, 14, 15, 31, 1<<40 + 15}).Draw(t, "home"))
			k[8] = byte(rapid.IntRange(0, shards-1).Draw(t, "shard"))
			k[9] = byte(rapid.IntRange(0, 9).Draw(t, "rest"))
			return k
		})
		var serial uint64
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k := key.Draw(t, "key")
				serial++
				s.put(k, cached(serial))
				model[k] = cached(serial)
				// What was evicted is unknown to the model; the slab says, but only within its bound.
				for k := range model {
					if !s.has(k) {
						delete(model, k)
					}
				}
				if !s.has(k) {
					t.Fatal("not there right after it was put")
				}
				if limit := max(1, bound/shards) * shards; s.len() > limit {
					t.Fatalf("%d subjects, the bound is %d", s.len(), limit)
				}
			},
			"get": func(t *rapid.T) {
				k := key.Draw(t, "key")
				var got CachedSubject
				want := model[k]
				if ok := s.get(k, &got); ok != (want != nil) || ok && got != *want {
					t.Fatalf("get: %v, %v; want %v", ok, got.ID, want)
				}
			},
			"drop": func(t *rapid.T) {
				k := key.Draw(t, "key")
				ids := map[gdpr.SubjectID]struct{}{{}: {}} // the zero id is nobody's
				if gone := model[k]; gone != nil {
					ids[gone.ID] = struct{}{}
				}
				s.drop(ids)
				delete(model, k)
			},
			"clear": func(*rapid.T) {
				s.clear()
				clear(model)
			},
			"": func(t *rapid.T) {
				if s.len() != len(model) {
					t.Fatalf("%d subjects, want %d", s.len(), len(model))
				}
				for k, want := range model {
					var got CachedSubject
					if !s.get(k, &got) || got != *want {
						t.Fatalf("subject %v is missing or another", want.ID)
					}
				}
				checkWiped(t, s, len(model))
			},
		})
	})
}

// checkWiped makes sure that only live subjects leave bytes in the slots.
func checkWiped(t *rapid.T, s *slab, live int) {
	for i := range s.shards {
		for _, chunk := range s.shards[i].chunks {
			for j := range chunk {
				if chunk[j] != (slot{}) {
					live--
				}
			}
		}
	}
	if live != 0 {
		t.Fatalf("%d slots hold bytes of subjects that are gone", -live)
	}
}

// Subjects in use survive while others pass through.
func TestSlabKeepsWhatIsUsed(t *testing.T) {
	const bound = 1000
	s := newSlab(bound)
	hasher := newHasher(new([32]byte))
	key := func(n int) slabKey {
		h := hasher.identity(people(n, 1)[0])
		return slabKey(h[:16])
	}
	for n := range 100 {
		s.put(key(n), cached(uint64(n)))
	}
	var got CachedSubject
	for n := 100; n < 20*bound; n++ {
		s.put(key(n), cached(uint64(n)))
		if n%100 == 0 {
			for hot := range 100 {
				if !s.get(key(hot), &got) || got != *cached(uint64(hot)) {
					t.Fatalf("subject %d in use was evicted after %d", hot, n)
				}
			}
		}
	}
	if s.len() != bound {
		t.Errorf("%d subjects, want %d", s.len(), bound)
	}
}

// What configuration is checked with is what a subject takes.
func TestBytesPerSubject(t *testing.T) {
	const subjects = 60_000
	s := newSlab(subjects)
	for n := range uint64(subjects) {
		var key slabKey
		binary.LittleEndian.PutUint64(key[:], n*0x9e3779b97f4a7c15)
		binary.LittleEndian.PutUint64(key[8:], n)
		s.put(key, cached(n))
	}
	bytes := 0
	for i := range s.shards {
		bytes += len(s.shards[i].chunks)*slotsPerChunk*int(unsafe.Sizeof(slot{})) + 8*len(s.shards[i].index)
	}
	if got := float64(bytes) / float64(s.len()); got < 0.95*BytesPerSubject || got > 1.05*BytesPerSubject {
		t.Errorf("%.0f bytes a subject, BytesPerSubject is %d", got, BytesPerSubject)
	}
}
