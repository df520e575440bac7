package chain

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"math/bits"
)

const (
	// TileHeight is how many levels of the Merkle tree a tile spans (C2SP tlog-tiles).
	TileHeight = 8
	// TileWidth is how many hashes a full tile holds, and how many entries a full bundle.
	TileWidth = 1 << TileHeight
	// TileBytes is the size of a full tile.
	TileBytes = TileWidth * HashBytes
	// maxTileLevel is the highest level of tiles that a tree of 2^63 entries has.
	maxTileLevel = 63 / TileHeight
)

// nodePrefix parts inner nodes of the Merkle tree from leaves (RFC 6962, 2.1).
const nodePrefix = 0x01

// emptyRoot is the root of a tree without leaves: the hash of nothing (RFC 6962, 2.1).
var emptyRoot = Hash(sha256.Sum256(nil))

// Tile is a full tile: the hashes of the nodes TileWidth·Index to TileWidth·(Index+1)-1 of one level of the tree, and what they hash to.
type Tile struct {
	Level  int    // in tiles: 0 holds leaf hashes, each further level the roots of the tiles below
	Index  uint64 // from the left
	Hashes []byte // TileBytes; valid until the Tree changes
	Root   Hash   // the node above all of them, which is one hash of the tile above
}

// Tree is the right edge of a Merkle tree over leaf hashes (RFC 6962, 2.1), which is all that is needed to make it grow: at each level of tiles, the
// hashes of the tile that is not full yet. It belongs to one goroutine.
type Tree struct {
	size    uint64
	levels  []*[TileBytes]byte
	scratch [TileBytes]byte
}

// NewTree returns a tree without leaves.
func NewTree() *Tree { return &Tree{} }

// LoadTree returns the tree of size leaves. read returns the hashes of the partial tile at the right edge of a level, width of them; it is called once
// a level that has one. The caller compares Root with what it trusts.
func LoadTree(size uint64, read func(level int, index uint64, width int) ([]byte, error)) (*Tree, error) {
	if size > 1<<63-1 {
		return nil, fmt.Errorf("tree of %d leaves: at most 2^63-1", size)
	}
	t := &Tree{size: size}
	for level := 0; size>>(TileHeight*level) > 0; level++ {
		nodes := size >> (TileHeight * level)
		t.levels = append(t.levels, new([TileBytes]byte))
		width := int(nodes % TileWidth)
		if width == 0 {
			continue
		}
		hashes, err := read(level, nodes/TileWidth, width)
		if err != nil {
			return nil, err
		}
		if len(hashes) != width*HashBytes {
			return nil, fmt.Errorf("tile %d of level %d has %d bytes, expected %d hashes", nodes/TileWidth, level, len(hashes), width)
		}
		copy(t.levels[level][:], hashes)
	}
	return t, nil
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size }

// Append adds a leaf. full is called for each tile that it completes, from the leaves up. Its first error is returned, and no more tiles are shown to it;
// the tree has grown all the same.
func (t *Tree) Append(leaf Hash, full func(Tile) error) error {
	t.size++
	return t.append(0, t.size-1, leaf, full)
}

// AppendTile adds the leaves of a tile of level 0, where a tile begins: Size is a multiple of TileWidth. root must be what TileRoot says of leaves, which is
// most of the work and needs no order. full is called as by Append, for this tile first, whose hashes are leaves.
func (t *Tree) AppendTile(leaves []byte, root Hash, full func(Tile) error) error {
	if t.size%TileWidth != 0 || len(leaves) != TileBytes {
		return fmt.Errorf("a tile of %d bytes cannot follow %d leaves", len(leaves), t.size)
	}
	index := t.size / TileWidth
	t.size += TileWidth
	if len(t.levels) == 0 {
		t.levels = append(t.levels, new([TileBytes]byte))
	}
	tileErr := full(Tile{Level: 0, Index: index, Hashes: leaves, Root: root})
	if tileErr != nil {
		full = func(Tile) error { return nil }
	}
	return cmp.Or(tileErr, t.append(1, index, root, full))
}

// append puts node in its place at a level of tiles, and goes up as long as it completes one.
func (t *Tree) append(level int, index uint64, node Hash, full func(Tile) error) (err error) {
	for ; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, new([TileBytes]byte))
		}
		hashes := t.levels[level]
		at := index % TileWidth
		index /= TileWidth
		copy(hashes[at*HashBytes:], node[:])
		if at < TileWidth-1 {
			return err
		}
		node = t.fold(hashes[:])
		if err == nil {
			err = full(Tile{Level: level, Index: index, Hashes: hashes[:], Root: node})
		}
	}
}

// Root returns the tree's root hash.
func (t *Tree) Root() Hash {
	if t.size == 0 {
		return emptyRoot
	}
	// From the leaves up: what is left over at a level is the last node, not yet complete, of the level above.
	var rest Hash
	some := false
	var line [TileBytes + HashBytes]byte
	for level := 0; t.size>>(TileHeight*level) > 0; level++ {
		n := copy(line[:], t.Partial(level))
		if some {
			n += copy(line[n:], rest[:])
		}
		if n > 0 {
			rest, some = foldNodes(line[:n]), true
		}
	}
	return rest
}

// Partial returns the hashes of the tile at the right edge of a level that is not full, valid until the next Append; empty if there is none.
func (t *Tree) Partial(level int) []byte {
	if level >= len(t.levels) {
		return nil
	}
	width := t.size >> (TileHeight * level) % TileWidth
	return t.levels[level][:width*HashBytes]
}

// fold returns the node above the hashes of a full tile, which it leaves as they are.
func (t *Tree) fold(hashes []byte) Hash { return foldNodes(t.scratch[:copy(t.scratch[:], hashes)]) }

// TileRoot returns the node above the hashes of a tile, in whole or in part: the root of a tree of that many leaves.
func TileRoot(hashes []byte) (Hash, error) {
	if len(hashes) == 0 || len(hashes)%HashBytes != 0 || len(hashes) > TileBytes {
		return Hash{}, fmt.Errorf("tile of %d bytes", len(hashes))
	}
	var scratch [TileBytes]byte
	return foldNodes(scratch[:copy(scratch[:], hashes)]), nil
}

// foldNodes pairs neighbours until one node is left, and overwrites nodes on the way. A last one without a neighbour goes up as it is, which is the same
// as splitting at the largest power of two (RFC 6962, 2.1).
func foldNodes(nodes []byte) Hash {
	var pair [1 + 2*HashBytes]byte
	pair[0] = nodePrefix
	for len(nodes) > HashBytes {
		n := 0
		for len(nodes)-2*n >= 2*HashBytes {
			copy(pair[1:], nodes[2*n:2*n+2*HashBytes])
			sum := sha256.Sum256(pair[:])
			n += copy(nodes[n:], sum[:])
		}
		if 2*n < len(nodes) {
			n += copy(nodes[n:], nodes[2*n:])
		}
		nodes = nodes[:n]
	}
	return Hash(nodes)
}

// PartialTiles returns the partial tiles at the right edge of a tree of size leaves, from the leaves up: level, index and width of each.
func PartialTiles(size uint64) []TilePlace {
	var places []TilePlace
	for level := 0; level <= maxTileLevel && size>>(TileHeight*level) > 0; level++ {
		nodes := size >> (TileHeight * level)
		if width := int(nodes % TileWidth); width > 0 {
			places = append(places, TilePlace{Level: level, Index: nodes / TileWidth, Width: width})
		}
	}
	return places
}

// TilePlace names a tile.
type TilePlace struct {
	Level int
	Index uint64
	Width int // hashes; TileWidth for a full tile
}

// Within says whether all of the tile is in a tree of size leaves.
func (p TilePlace) Within(size uint64) bool {
	if p.Level < 0 || p.Level > maxTileLevel || p.Width < 1 || p.Width > TileWidth || bits.Len64(p.Index) > 63-TileHeight {
		return false
	}
	return p.Index*TileWidth+uint64(p.Width) <= size>>(TileHeight*p.Level)
}
