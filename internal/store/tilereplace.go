package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// MaxReplaceTiles bounds a call of ReplaceTiles: each tile is a condition of its own in the statement that deletes the others, and a statement has 256 KiB.
const MaxReplaceTiles = 256

// ReplaceTiles makes each of the tiles the only one at its place. The right ones are stored before the wrong ones are deleted: whoever reads meanwhile, or
// after this was interrupted, finds no less than before. It can be repeated. The user must be allowed ALTER DELETE.
func (s *Store) ReplaceTiles(ctx context.Context, log string, tiles []StoredTile) error {
	if len(tiles) == 0 || len(tiles) > MaxReplaceTiles {
		return fmt.Errorf("replace %d tiles: 1 to %d expected", len(tiles), MaxReplaceTiles)
	}
	// ClickHouse would drop a block that it has seen before, and the exporter has stored these tiles once.
	if err := s.insertTiles(ctx, log, tiles, s.insertParams().with(params{"insert_deduplicate": "0"})); err != nil {
		return err
	}
	if err := s.mutate(ctx, "tiles", log, "DELETE WHERE "+otherTiles(log, tiles), otherTiles(log, tiles), nil); err != nil {
		return fmt.Errorf("delete wrong tiles of %s: %w", log, err)
	}
	for i := range tiles {
		stored, err := s.Tiles(ctx, log, tiles[i].Level, tiles[i].Index, 2)
		if err != nil {
			return err
		}
		if len(stored) == 0 || stored[0].Index != tiles[i].Index || !bytes.Equal(stored[0].Hashes, tiles[i].Hashes) || stored[0].Root != tiles[i].Root ||
			len(stored) > 1 && stored[1].Index == tiles[i].Index {
			return fmt.Errorf("tile %d of level %d of %s was stored, but something else is read: is another process changing the table?", tiles[i].Index, tiles[i].Level, log)
		}
	}
	return nil
}

// otherTiles is the condition for what stands at the tiles' places and is none of them.
func otherTiles(log string, tiles []StoredTile) string {
	var sql strings.Builder
	fmt.Fprintf(&sql, "log = %s AND (", literal(log))
	for i := range tiles {
		if i > 0 {
			sql.WriteString(" OR ")
		}
		fmt.Fprintf(&sql, "(level = %d AND tile = %d AND NOT (SHA256(hashes) = unhex('%x') AND root = unhex('%x')))",
			tiles[i].Level, tiles[i].Index, sha256.Sum256(tiles[i].Hashes), tiles[i].Root[:])
	}
	sql.WriteByte(')')
	return sql.String()
}

// LeafHashes returns the leaf hashes beside the entries from a seq on, n of them, one behind the other. ErrNotFound when any is missing. Nothing is checked.
func (s *Store) LeafHashes(ctx context.Context, log string, first uint64, n int) ([]byte, error) {
	hashes, err := s.leafHashes(ctx, log, first, first+uint64(n))
	if err == nil && len(hashes) != n*chain.HashBytes {
		err = fmt.Errorf("%d of %d: %w", len(hashes)/chain.HashBytes, n, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read the leaf hashes of %s from %d on: %w", log, first, err)
	}
	return hashes, nil
}

// TileRoots returns the roots of the tiles of one level from an index on, n of them, one behind the other. ErrNotFound when any is missing. Nothing is checked.
func (s *Store) TileRoots(ctx context.Context, log string, level int, first uint64, n int) ([]byte, error) {
	hashes, err := s.tileRoots(ctx, log, level, first, first+uint64(n))
	if err == nil && len(hashes) != n*chain.HashBytes {
		err = fmt.Errorf("%d of %d: %w", len(hashes)/chain.HashBytes, n, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read the roots of tiles of level %d of %s from %d on: %w", level, log, first, err)
	}
	return hashes, nil
}
