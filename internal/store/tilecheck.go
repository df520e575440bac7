package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// TileChecker holds the stored tiles of one log against those that follow from its entries. It belongs to one goroutine.
type TileChecker struct {
	store  *Store
	log    string
	levels [][]StoredTile // that were read ahead
}

// NewTileChecker returns a checker that has not read anything.
func (s *Store) NewTileChecker(log string) *TileChecker { return &TileChecker{store: s, log: log} }

// tilesAhead is how many tiles of a level one query reads: 2 MiB.
const tilesAhead = 256

// TileProblem is what is wrong with a stored tile.
type TileProblem string

// What can be wrong.
const (
	TileRight   TileProblem = ""
	TileMissing TileProblem = "is missing"
	TileChanged TileProblem = "is not made of the entries"
	TileDoubled TileProblem = "is there twice"
)

// Check looks for the tile in the store, as Compare does. A *chain.Fault says what is wrong, and names the first entry below it.
func (c *TileChecker) Check(ctx context.Context, full chain.Tile) error {
	wrong, err := c.Compare(ctx, full)
	if err != nil || wrong == TileRight {
		return err
	}
	first := full.Index << (chain.TileHeight * (full.Level + 1))
	return &chain.Fault{Log: c.log, Seq: first, Reason: fmt.Sprintf("tile %d of level %d %s", full.Index, full.Level, wrong)}
}

// Compare says what is wrong with the stored tile. The tiles of each level come in order; after a wrong one the next can be asked for all the same.
func (c *TileChecker) Compare(ctx context.Context, full chain.Tile) (TileProblem, error) {
	for full.Level >= len(c.levels) {
		c.levels = append(c.levels, nil)
	}
	ahead := c.levels[full.Level]
	for len(ahead) > 0 && ahead[0].Index < full.Index {
		ahead = ahead[1:]
	}
	if len(ahead) < 2 { // a second one of the same place would be the next
		var err error
		if ahead, err = c.store.Tiles(ctx, c.log, full.Level, full.Index, tilesAhead); err != nil {
			return "", err
		}
	}
	c.levels[full.Level] = ahead
	switch {
	case len(ahead) == 0 || ahead[0].Index != full.Index:
		return TileMissing, nil
	case !bytes.Equal(ahead[0].Hashes, full.Hashes) || ahead[0].Root != full.Root:
		return TileChanged, nil
	case len(ahead) > 1 && ahead[1].Index == full.Index:
		return TileDoubled, nil
	}
	return TileRight, nil
}
