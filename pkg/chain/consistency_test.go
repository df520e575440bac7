package chain

import (
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// grown is a tree with the roots that it had on the way.
func grown(size uint64) (*kept, []Hash) {
	tiles, roots := newKept(), []Hash{emptyRoot}
	for n := range size {
		if err := tiles.tree.Append(numberedLeaf(n), tiles.keep); err != nil {
			panic(err) // which keep never gives
		}
		roots = append(roots, tiles.tree.Root())
	}
	return tiles, roots
}

// Of two sizes that a tree has had, the proof is accepted by golang.org/x/mod/sumdb/tlog for these two roots, and for no others.
func TestConsistency(t *testing.T) {
	const largest = 1100 // some full tiles, and two levels of them
	all, roots := grown(largest)
	check := func(t interface{ Fatalf(string, ...any) }, tiles tlog.TileReader, old, size uint64) tlog.TreeProof {
		proof, err := Consistency(old, size, roots[size], tiles)
		if err != nil {
			t.Fatalf("%d to %d: %v", old, size, err)
		}
		if err := tlog.CheckTree(proof, int64(size), tlog.Hash(roots[size]), int64(old), tlog.Hash(roots[old])); err != nil {
			t.Fatalf("%d to %d: %v", old, size, err)
		}
		if len(proof) > MaxConsistencyHashes {
			t.Fatalf("%d to %d: %d hashes", old, size, len(proof))
		}
		return proof
	}
	for old := uint64(1); old <= largest; old++ {
		check(t, all, old, largest)
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64Range(1, largest).Draw(t, "size")
		old := rapid.Uint64Range(1, size).Draw(t, "old")
		tiles, _ := grown(size)
		proof := check(t, tiles, old, size)
		bad := func(what string, proof tlog.TreeProof, root, oldRoot Hash) {
			if err := tlog.CheckTree(proof, int64(size), tlog.Hash(root), int64(old), tlog.Hash(oldRoot)); err == nil {
				t.Fatalf("%d to %d: accepted with %s", old, size, what)
			}
		}
		bad("another root", proof, numberedLeaf(1<<40), roots[old])
		bad("another old root", proof, roots[size], numberedLeaf(1<<40))
		bad("a hash too many", append(slices.Clone(proof), tlog.Hash{}), roots[size], roots[old])
		if len(proof) > 0 {
			bad("a hash too few", proof[:len(proof)-1], roots[size], roots[old])
			at := rapid.IntRange(0, len(proof)-1).Draw(t, "hash")
			bit := rapid.IntRange(0, 8*HashBytes-1).Draw(t, "bit")
			changed := slices.Clone(proof)
			changed[at][bit/8] ^= 1 << (bit % 8)
			bad("a flipped bit", changed, roots[size], roots[old])
		}
	})
}

func TestConsistencyRefuses(t *testing.T) {
	tiles, roots := grown(300)
	for _, c := range []struct {
		name      string
		old, size uint64
		root      Hash
	}{
		{"a smaller tree", 300, 299, roots[299]},
		{"a tree that is too large", 1, 1 << 63, roots[300]},
		{"tiles of another root", 17, 300, numberedLeaf(5)},
		{"tiles of another size", 17, 299, roots[300]},
	} {
		if proof, err := Consistency(c.old, c.size, c.root, tiles); err == nil {
			t.Errorf("%s: a proof of %d hashes", c.name, len(proof))
		}
	}
	for _, c := range [][2]uint64{{0, 300}, {300, 300}, {0, 0}} {
		if proof, err := Consistency(c[0], c[1], roots[c[1]], tiles); err != nil || len(proof) != 0 {
			t.Errorf("%d to %d: %d hashes, %v", c[0], c[1], len(proof), err)
		}
	}
	// A changed tile makes no proof: what is read is checked against the root.
	place := TilePlace{Level: 0, Index: 0, Width: TileWidth}
	tiles.full[place][40] ^= 1
	if _, err := Consistency(17, 300, roots[300], tiles); err == nil {
		t.Error("proved from a changed tile")
	}
}
