package store

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// stageAll stores the tiles of the entries and returns the tree over them.
func stageAll(t testing.TB, s *Store, log string, all []*sealed) *chain.Tree {
	t.Helper()
	tree := chain.NewTree()
	var full []StoredTile
	for _, e := range all {
		err := tree.Append(e.row.Leaf, func(tile chain.Tile) error {
			full = append(full, StoredTile{Level: tile.Level, Index: tile.Index, Hashes: bytes.Clone(tile.Hashes), Root: tile.Root})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.StageTiles(t.Context(), log, full); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTiles(t *testing.T) {
	s := newStore(t)
	l, other := newTestLog(t, "agent.events/0"), newTestLog(t, "agent.events/1")
	all := storeLog(t, s, l, 7, 100)
	tree := stageAll(t, s, l.head.Log, all)
	stageAll(t, s, l.head.Log, all) // repeated after an unknown outcome
	stageAll(t, s, other.head.Log, storeLog(t, s, other, 3, 100))

	size := uint64(len(all)) // 701
	for _, seq := range []uint64{0, 255, 256, 600, size - 1} {
		if _, err := chain.Inclusion(size, tree.Root(), seq, s.TileReader(t.Context(), l.head.Log)); err != nil {
			t.Errorf("entry %d: %v", seq, err)
		}
	}
	loaded, err := chain.LoadTree(size, func(level int, index uint64, width int) ([]byte, error) {
		return s.TileHashes(t.Context(), l.head.Log, chain.TilePlace{Level: level, Index: index, Width: width})
	})
	if err != nil || loaded.Root() != tree.Root() {
		t.Errorf("loaded another tree, %v", err)
	}
	tiles, err := s.Tiles(t.Context(), l.head.Log, 0, 0, 10)
	if err != nil || len(tiles) != 2 || tiles[0].Index != 0 || tiles[1].Index != 1 {
		t.Fatalf("%d tiles, %v", len(tiles), err)
	}
	for _, tile := range tiles {
		if root, err := chain.TileRoot(tile.Hashes); err != nil || root != tile.Root {
			t.Errorf("tile %d: its root is another, %v", tile.Index, err)
		}
	}
	for _, place := range []chain.TilePlace{{Level: 0, Index: 2, Width: 256}, {Level: 0, Index: 2, Width: 190}, {Level: 1, Index: 0, Width: 3}, {Level: 0, Index: 9, Width: 1}} {
		if _, err := s.TileHashes(t.Context(), l.head.Log, place); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v: %v", place, err)
		}
	}
	if err := s.StageTiles(t.Context(), l.head.Log, nil); err != nil {
		t.Errorf("no tiles: %v", err)
	}
}

// A tile that is there twice with different hashes shows as two.
func TestTilesShowForgeries(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	stageAll(t, s, l.head.Log, storeLog(t, s, l, 3, 100))
	forged := StoredTile{Hashes: make([]byte, chain.TileBytes)}
	if err := s.StageTiles(t.Context(), l.head.Log, []StoredTile{forged}); err != nil {
		t.Fatal(err)
	}
	exec(t, s, "OPTIMIZE TABLE "+s.tiles+" FINAL")
	if tiles, err := s.Tiles(t.Context(), l.head.Log, 0, 0, 10); err != nil || len(tiles) != 2 || bytes.Equal(tiles[0].Hashes, tiles[1].Hashes) {
		t.Errorf("%d tiles, %v", len(tiles), err)
	}
}

func TestBundle(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	all := storeLog(t, s, l, 3, 100)
	for _, c := range []struct {
		first uint64
		n     int
	}{{0, 256}, {256, 45}, {7, 1}} {
		bundle, err := s.Bundle(t.Context(), l.head.Log, c.first, c.n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.n {
			entry, rest, err := chain.CutBundled(bundle)
			if err != nil || !bytes.Equal(entry, all[c.first+uint64(i)].row.Entry) {
				t.Fatalf("entry %d of the bundle at %d is another, %v", i, c.first, err)
			}
			bundle = rest
		}
		if len(bundle) != 0 {
			t.Errorf("%d bytes behind the bundle at %d", len(bundle), c.first)
		}
	}
	if _, err := s.Bundle(t.Context(), l.head.Log, 256, 46); !errors.Is(err, ErrNotFound) {
		t.Errorf("beyond the end: %v", err)
	}
}

// Reading a few tiles must not read those behind them, which are a gigabyte in a log of thirty million entries.
func TestTilesReadNoMoreThanTheyNeed(t *testing.T) {
	s := newStore(t)
	const log, all = "agent.events/0", 2000
	tiles := make([]StoredTile, all)
	for i := range tiles {
		tiles[i] = StoredTile{Index: uint64(i), Hashes: bytes.Repeat([]byte{byte(i)}, chain.TileBytes)}
	}
	if err := s.StageTiles(t.Context(), log, tiles); err != nil {
		t.Fatal(err)
	}
	const first, limit = 100, 256
	got, err := s.Tiles(t.Context(), log, 0, first, limit)
	if err != nil || len(got) != limit || got[0].Index != first || got[limit-1].Index != first+limit-1 {
		t.Fatalf("%d tiles, %v", len(got), err)
	}
	var database, table proto.ColStr
	var parts, rows, marks proto.ColUInt64
	columns := proto.Results{{Name: "database", Data: &database}, {Name: "table", Data: &table}, {Name: "parts", Data: &parts}, {Name: "rows", Data: &rows}, {Name: "marks", Data: &marks}}
	const granule = 16 // of the table's index
	read := uint64(0)
	err = s.servers[0].readNative(t.Context(), "EXPLAIN ESTIMATE "+tilesQuery(s.tiles), tilesParams(log, 0, first, limit), columns, func(int) error {
		read += rows.Row(0)
		return nil
	})
	if err != nil || read < limit || read > limit+2*granule {
		t.Errorf("%d tiles are read for %d, %v", read, limit, err)
	}
}
