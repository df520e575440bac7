package chain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// numberedLeaf is the hash of some leaf.
func numberedLeaf(n uint64) Hash { return LeafHash(binary.BigEndian.AppendUint64(nil, n)) }

// kept holds the tiles of a tree, as a store does.
type kept struct {
	tree *Tree
	full map[TilePlace][]byte
}

func newKept() *kept { return &kept{tree: NewTree(), full: map[TilePlace][]byte{}} }

func (k *kept) append(t testing.TB, leaf Hash) {
	t.Helper()
	if err := k.tree.Append(leaf, k.keep); err != nil {
		t.Fatal(err)
	}
}

func (k *kept) keep(tile Tile) error {
	k.full[TilePlace{tile.Level, tile.Index, TileWidth}] = bytes.Clone(tile.Hashes)
	return nil
}

// Height, ReadTiles and SaveTiles make it a tlog.TileReader.
func (*kept) Height() int { return TileHeight }

func (k *kept) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, tile := range tiles {
		hashes, ok := k.full[TilePlace{tile.L, uint64(tile.N), TileWidth}]
		if !ok {
			if tile.L >= len(k.tree.levels) || uint64(tile.N) != k.tree.size>>(TileHeight*tile.L)/TileWidth {
				return nil, errors.New("no such tile")
			}
			hashes = k.tree.Partial(tile.L)
		}
		data[i] = bytes.Clone(hashes[:tile.W*HashBytes])
	}
	return data, nil
}

func (*kept) SaveTiles([]tlog.Tile, [][]byte) {}

// Roots and tiles agree with those of golang.org/x/mod/sumdb/tlog, at every size across the first borders of tiles and at some across the next ones.
func TestTreeAgreesWithTlog(t *testing.T) {
	var stored hashes
	k := newKept()
	if k.tree.Root() != Hash(mustRoot(t, 0, stored)) {
		t.Error("root of the empty tree")
	}
	const sizes = 70_000 // a full tile at level 1 and then some
	for n := range uint64(sizes) {
		leaf := numberedLeaf(n)
		more, err := tlog.StoredHashesForRecordHash(int64(n), tlog.Hash(leaf), stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		k.append(t, leaf)
		size := n + 1
		if size > 600 && size%997 != 0 && size%TileWidth > 1 {
			continue
		}
		if got, want := k.tree.Root(), Hash(mustRoot(t, size, stored)); got != want {
			t.Fatalf("root of %d leaves is %v, tlog says %v", size, got, want)
		}
		if size%TileWidth == 0 {
			for level := range 2 {
				if size%(TileWidth<<(TileHeight*level)) != 0 {
					break
				}
				tile := tlog.Tile{H: TileHeight, L: level, N: int64(size>>(TileHeight*(level+1))) - 1, W: TileWidth}
				want, err := tlog.ReadTileData(tile, stored)
				if err != nil {
					t.Fatal(err)
				}
				if got := k.full[TilePlace{level, uint64(tile.N), TileWidth}]; !bytes.Equal(got, want) {
					t.Fatalf("tile %d of level %d differs", tile.N, level)
				}
			}
		}
	}
}

func mustRoot(t *testing.T, size uint64, stored hashes) tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(int64(size), stored)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// hashes is tlog's own storage.
type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = h[at]
	}
	return out, nil
}

// A tree that is loaded from its partial tiles grows as the one that was never put down.
func TestLoadTree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	whole := newKept()
	for n := uint64(0); n < 140_000; {
		for range random.IntN(3000) {
			whole.append(t, numberedLeaf(n))
			n++
		}
		loaded, err := LoadTree(n, func(level int, index uint64, width int) ([]byte, error) {
			data, err := whole.ReadTiles([]tlog.Tile{{H: TileHeight, L: level, N: int64(index), W: width}})
			if err != nil {
				return nil, err
			}
			return data[0], nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if loaded.Size() != n || loaded.Root() != whole.tree.Root() {
			t.Fatalf("loaded at %d leaves: another root", n)
		}
		whole.tree = loaded
	}
}

// An error of what looks at tiles does not spoil the tree.
func TestTreeGrowsWhateverIsSaidOfItsTiles(t *testing.T) {
	broken := errors.New("broken")
	good, bad := newKept(), NewTree()
	for n := range uint64(66_000) {
		good.append(t, numberedLeaf(n))
		full := (n+1)%TileWidth == 0
		if err := bad.Append(numberedLeaf(n), func(Tile) error { return broken }); (err != nil) != full {
			t.Fatalf("leaf %d: %v", n, err)
		}
	}
	if bad.Root() != good.tree.Root() {
		t.Error("another root")
	}
}

func TestLoadTreeRefuses(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		size uint64
		read func(int, uint64, int) ([]byte, error)
	}{
		"short tile":  {5, func(int, uint64, int) ([]byte, error) { return make([]byte, 4*HashBytes), nil }},
		"long tile":   {5, func(int, uint64, int) ([]byte, error) { return make([]byte, 6*HashBytes), nil }},
		"read fails":  {5, func(int, uint64, int) ([]byte, error) { return nil, broken }},
		"beyond 2^63": {1 << 63, func(_ int, _ uint64, width int) ([]byte, error) { return make([]byte, width*HashBytes), nil }},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := LoadTree(c.size, c.read); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestTilePlaceWithin(t *testing.T) {
	for _, c := range []struct {
		place TilePlace
		size  uint64
		want  bool
	}{
		{TilePlace{0, 0, 1}, 1, true},
		{TilePlace{0, 0, 1}, 0, false},
		{TilePlace{0, 0, 256}, 255, false},
		{TilePlace{0, 0, 256}, 256, true},
		{TilePlace{0, 1, 1}, 256, false},
		{TilePlace{1, 0, 1}, 255, false},
		{TilePlace{1, 0, 1}, 256, true},
		{TilePlace{7, 0, 1}, 1<<63 - 1, true},
		{TilePlace{8, 0, 1}, 1<<63 - 1, false},
		{TilePlace{0, 1<<55 - 1, 256}, 1<<63 - 1, false},
		{TilePlace{0, 1 << 62, 1}, 1<<63 - 1, false},
		{TilePlace{0, 0, 0}, 9, false},
		{TilePlace{0, 0, 257}, 1 << 20, false},
		{TilePlace{-1, 0, 1}, 9, false},
	} {
		if got := c.place.Within(c.size); got != c.want {
			t.Errorf("%+v within %d: %v", c.place, c.size, got)
		}
	}
	for size := range uint64(1000) {
		for _, place := range PartialTiles(size) {
			if !place.Within(size) || place.Width == TileWidth {
				t.Errorf("%+v is no partial tile of a tree of %d", place, size)
			}
		}
	}
}

func BenchmarkTreeAppend(b *testing.B) {
	tree, leaf := NewTree(), numberedLeaf(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := tree.Append(leaf, func(Tile) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTreeRoot(b *testing.B) {
	tree := NewTree()
	for n := range uint64(255*256 + 255) {
		_ = tree.Append(numberedLeaf(n), func(Tile) error { return nil })
	}
	b.ReportAllocs()
	for b.Loop() {
		tree.Root()
	}
}

// A tree that grows by tiles is the one that grows by leaves.
func TestAppendTile(t *testing.T) {
	type shown struct {
		level int
		index uint64
		root  Hash
		bytes string
	}
	grow := func(seen *[]shown) func(Tile) error {
		return func(full Tile) error {
			*seen = append(*seen, shown{full.Level, full.Index, full.Root, string(full.Hashes)})
			return nil
		}
	}
	one, two := NewTree(), NewTree()
	var seenOne, seenTwo []shown
	var tile []byte
	for n := range TileWidth*TileWidth + 2*TileWidth + 7 {
		leaf := LeafHash([]byte{byte(n), byte(n >> 8), byte(n >> 16)})
		if err := one.Append(leaf, grow(&seenOne)); err != nil {
			t.Fatal(err)
		}
		if tile = append(tile, leaf[:]...); len(tile) < TileBytes {
			continue
		}
		root, err := TileRoot(tile)
		if err != nil {
			t.Fatal(err)
		}
		if err := two.AppendTile(tile, root, grow(&seenTwo)); err != nil {
			t.Fatal(err)
		}
		if one.Root() != two.Root() || one.Size() != two.Size() {
			t.Fatalf("after %d leaves the trees differ", one.Size())
		}
		tile = tile[:0]
	}
	for len(tile) > 0 {
		if err := two.Append(Hash(tile[:HashBytes]), grow(&seenTwo)); err != nil {
			t.Fatal(err)
		}
		tile = tile[HashBytes:]
	}
	if one.Root() != two.Root() || !slices.Equal(seenOne, seenTwo) || len(seenOne) != TileWidth+2+1 {
		t.Errorf("the trees differ; %d and %d tiles were shown", len(seenOne), len(seenTwo))
	}
	if err := two.AppendTile(make([]byte, TileBytes), Hash{}, grow(&seenTwo)); err == nil {
		t.Error("a tile was taken in the middle of another")
	}
	errFirst := errors.New("first")
	if err := NewTree().AppendTile(make([]byte, TileBytes), Hash{}, func(Tile) error { return errFirst }); !errors.Is(err, errFirst) {
		t.Errorf("the error of the function is lost: %v", err)
	}
}
