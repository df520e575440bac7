package store

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// StoredTile is a full tile as it stands in the store: its hashes may be any bytes there.
type StoredTile struct {
	Level  int
	Index  uint64
	Hashes []byte
	Root   chain.Hash
}

// StageTiles stores full tiles of a log. Storing one again is no harm, so a call whose outcome is unknown can be repeated.
func (s *Store) StageTiles(ctx context.Context, log string, tiles []StoredTile) error {
	if len(tiles) == 0 {
		return nil
	}
	return s.insertTiles(ctx, log, tiles, s.insertParams())
}

func (s *Store) insertTiles(ctx context.Context, log string, tiles []StoredTile, p params) error {
	name := new(proto.ColStr).LowCardinality()
	var (
		level  proto.ColUInt8
		index  proto.ColUInt64
		hashes proto.ColStr
		root   proto.ColFixedStr32
	)
	for i := range tiles {
		name.Append(log)
		level.Append(uint8(tiles[i].Level))
		index.Append(tiles[i].Index)
		hashes.AppendBytes(tiles[i].Hashes)
		root.Append(tiles[i].Root)
	}
	block := proto.Block{Columns: 5, Rows: len(tiles)}
	var wire proto.Buffer
	err := block.EncodeRawBlock(&wire, nativeRevision, proto.Input{
		{Name: "log", Data: name}, {Name: "level", Data: &level}, {Name: "tile", Data: &index}, {Name: "hashes", Data: &hashes}, {Name: "root", Data: &root},
	})
	if err != nil {
		return fmt.Errorf("store tiles of %s: %w", log, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.InsertTimeout)
	defer cancel()
	p = p.with(params{"query": "INSERT INTO " + s.tiles + " (log, level, tile, hashes, root) FORMAT Native"})
	err = s.read(ctx, func(at *server) error { return at.insert(ctx, p, bytes.NewReader(wire.Buf), int64(len(wire.Buf))) })
	if err != nil {
		return fmt.Errorf("store tiles of %s: %w", log, err)
	}
	return nil
}

// tilesQuery reads the tiles of a range of places. Both its ends are named: reading in order ends at a limit, but DISTINCT stands in its way, and all tiles
// up to the last would be read for one.
func tilesQuery(tiles string) string {
	return "SELECT DISTINCT tile, hashes, root FROM " + tiles +
		" WHERE log = {log:String} AND level = {level:UInt8} AND tile >= {from:UInt64} AND tile < {behind:UInt64} ORDER BY tile LIMIT {limit:UInt32} FORMAT Native"
}

// Tiles returns the full tiles of one level at an index and the places behind it, limit places and at most as many tiles, ordered. Different tiles at one
// place show.
func (s *Store) Tiles(ctx context.Context, log string, level int, from uint64, limit int) ([]StoredTile, error) {
	tiles, err := s.storedTiles(ctx, tilesQuery(s.tiles), level, tilesParams(log, level, from, limit))
	if err != nil {
		return nil, fmt.Errorf("read tiles of %s: %w", log, err)
	}
	return tiles, nil
}

func tilesParams(log string, level int, from uint64, limit int) params {
	return params{
		"param_log": paramText(log), "param_level": strconv.Itoa(level),
		"param_from": strconv.FormatUint(from, 10), "param_behind": strconv.FormatUint(from+uint64(limit), 10), "param_limit": strconv.Itoa(limit),
	}
}

func (s *Store) storedTiles(ctx context.Context, sql string, level int, p params) ([]StoredTile, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var tiles []StoredTile
	err := s.read(ctx, func(at *server) error {
		var (
			index  proto.ColUInt64
			hashes proto.ColStr
			root   proto.ColFixedStr32
		)
		tiles = tiles[:0]
		results := proto.Results{{Name: "tile", Data: &index}, {Name: "hashes", Data: &hashes}, {Name: "root", Data: &root}}
		return at.readNative(ctx, sql, s.readParams().with(p), results, func(rows int) error {
			for i := range rows {
				tiles = append(tiles, StoredTile{Level: level, Index: index[i], Hashes: bytes.Clone(hashes.RowBytes(i)), Root: root[i]})
			}
			return nil
		})
	})
	return tiles, err
}

// TileHashes returns the hashes of a tile, in whole or in part: of a full one as it was staged, of a partial one at level 0 the leaf hashes beside the
// entries, and above that the roots of the tiles below. ErrNotFound when any is missing. Nothing is checked: the reader has a root to do so.
func (s *Store) TileHashes(ctx context.Context, log string, place chain.TilePlace) ([]byte, error) {
	hashes, err := s.tileHashes(ctx, log, place)
	if err != nil {
		return nil, fmt.Errorf("read tile %d of level %d of %s: %w", place.Index, place.Level, log, err)
	}
	if len(hashes) != place.Width*chain.HashBytes {
		return nil, fmt.Errorf("read tile %d of level %d of %s: %d of %d hashes: %w",
			place.Index, place.Level, log, len(hashes)/chain.HashBytes, place.Width, ErrNotFound)
	}
	return hashes, nil
}

func (s *Store) tileHashes(ctx context.Context, log string, place chain.TilePlace) ([]byte, error) {
	first := place.Index * chain.TileWidth
	behind := first + uint64(place.Width)
	switch {
	case place.Width == chain.TileWidth:
		return s.fullTile(ctx, log, place)
	case place.Level > 0:
		return s.tileRoots(ctx, log, place.Level-1, first, behind)
	}
	hashes, err := s.leafHashes(ctx, log, first, behind)
	if err != nil || len(hashes) == place.Width*chain.HashBytes {
		return hashes, err
	}
	// Entries that were pruned made a full tile.
	if hashes, err = s.fullTile(ctx, log, place); err != nil {
		return nil, err
	}
	return hashes[:min(len(hashes), place.Width*chain.HashBytes)], nil
}

func (s *Store) tileRoots(ctx context.Context, log string, level int, first, behind uint64) ([]byte, error) {
	const where = " WHERE log = {log:String} AND level = {level:UInt8} AND tile >= {first:UInt64} AND tile < {behind:UInt64} ORDER BY tile LIMIT 1 BY tile FORMAT Native"
	p := between(log, first, behind).with(params{"param_level": strconv.Itoa(level)})
	return s.hashes(ctx, "SELECT root AS hash FROM "+s.tiles+where, p)
}

func (s *Store) leafHashes(ctx context.Context, log string, first, behind uint64) ([]byte, error) {
	const where = " WHERE log = {log:String} AND seq >= {first:UInt64} AND seq < {behind:UInt64} ORDER BY seq LIMIT 1 BY seq FORMAT Native"
	return s.hashes(ctx, "SELECT leaf_hash AS hash FROM "+s.events+where, between(log, first, behind))
}

func between(log string, first, behind uint64) params {
	return params{"param_log": paramText(log), "param_first": strconv.FormatUint(first, 10), "param_behind": strconv.FormatUint(behind, 10)}
}

// fullTile returns the hashes of the full tile at a place, whatever the place's width.
func (s *Store) fullTile(ctx context.Context, log string, place chain.TilePlace) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	sql := "SELECT hashes FROM " + s.tiles + " WHERE log = {log:String} AND level = {level:UInt8} AND tile = {tile:UInt64} LIMIT 1 FORMAT Native"
	p := s.readParams().with(params{
		"param_log": paramText(log), "param_level": strconv.Itoa(place.Level), "param_tile": strconv.FormatUint(place.Index, 10),
	})
	var tile []byte
	err := s.read(ctx, func(at *server) error {
		var hashes proto.ColStr
		tile = nil
		return at.readNative(ctx, sql, p, proto.Results{{Name: "hashes", Data: &hashes}}, func(int) error {
			tile = bytes.Clone(hashes.RowBytes(0))
			return nil
		})
	})
	if err == nil && tile == nil {
		err = ErrNotFound
	}
	return tile, err
}

// hashes reads the column `hash`, one behind the other.
func (s *Store) hashes(ctx context.Context, sql string, p params) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	var all []byte
	err := s.read(ctx, func(at *server) error {
		var hash proto.ColFixedStr32
		all = all[:0]
		return at.readNative(ctx, sql, s.readParams().with(p), proto.Results{{Name: "hash", Data: &hash}}, func(rows int) error {
			for i := range rows {
				all = append(all, hash[i][:]...)
			}
			return nil
		})
	})
	return all, err
}

// Bundle returns the entries from seq first on, n of them, as C2SP tlog-tiles bundles them: the length of each in two bytes, big-endian, and its bytes.
// ErrNotFound when any is missing.
func (s *Store) Bundle(ctx context.Context, log string, first uint64, n int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	sql := "SELECT entry FROM " + s.events + " WHERE log = {log:String} AND seq >= {first:UInt64} AND seq < {behind:UInt64} ORDER BY seq LIMIT 1 BY seq FORMAT Native"
	p := s.readParams().with(params{
		"param_log": paramText(log), "param_first": strconv.FormatUint(first, 10), "param_behind": strconv.FormatUint(first+uint64(n), 10),
	})
	var bundle []byte
	found := 0
	err := s.read(ctx, func(at *server) error {
		var entry proto.ColStr
		bundle, found = bundle[:0], 0
		return at.readNative(ctx, sql, p, proto.Results{{Name: "entry", Data: &entry}}, func(rows int) error {
			for i := range rows {
				var err error
				if bundle, err = chain.AppendBundled(bundle, entry.RowBytes(i)); err != nil {
					return err
				}
			}
			found += rows
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read entries %d and on of %s: %w", first, log, err)
	}
	if found != n {
		return nil, fmt.Errorf("read entries %d and on of %s: %d of %d: %w", first, log, found, n, ErrNotFound)
	}
	return bundle, nil
}
