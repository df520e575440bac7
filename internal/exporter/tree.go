package exporter

import (
	"bytes"
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// loadTree returns the tree below a checkpoint from the tiles at its right edge, which must make the checkpoint's root. If they do not, the whole log is
// read for the place where it differs from what was vouched for.
func (e *Exporter) loadTree(ctx context.Context, checkpoint vault.Checkpoint) (*chain.Tree, error) {
	tree, err := chain.LoadTree(checkpoint.Size, func(level int, index uint64, width int) ([]byte, error) {
		return e.deps.Store.TileHashes(ctx, checkpoint.Log, chain.TilePlace{Level: level, Index: index, Width: width})
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil && tree.Root() == checkpoint.Root {
		return tree, nil
	}
	if err := e.checkWhole(ctx, checkpoint, stepEntries); err != nil {
		return nil, err
	}
	// Entries and tiles are as they were: it is the checkpoint that says something else.
	return nil, fault(checkpoint.Log, checkpoint.Size-1, "entries and tiles do not make the root of the vault's checkpoint")
}

// storedTiles reads the tiles of one level in order, some at a time.
type storedTiles struct {
	store *store.Store
	log   string
	level int
	ahead []store.StoredTile
}

// tilesAhead is how many tiles one query reads: 2 MiB.
const tilesAhead = 256

// compare holds the stored tile against one that was made from checked entries. Tiles come in order.
func (s *storedTiles) compare(ctx context.Context, full chain.Tile) error {
	for len(s.ahead) > 0 && s.ahead[0].Index < full.Index {
		s.ahead = s.ahead[1:]
	}
	if len(s.ahead) < 2 { // a second one of the same place would be the next
		var err error
		if s.ahead, err = s.store.Tiles(ctx, s.log, s.level, full.Index, tilesAhead); err != nil {
			return err
		}
	}
	first := full.Index << (chain.TileHeight * (s.level + 1)) // the first entry below the tile
	switch {
	case len(s.ahead) == 0 || s.ahead[0].Index != full.Index:
		return fault(s.log, first, "tile %d of level %d is missing", full.Index, s.level)
	case !bytes.Equal(s.ahead[0].Hashes, full.Hashes) || s.ahead[0].Root != full.Root:
		return fault(s.log, first, "tile %d of level %d is not made of the entries", full.Index, s.level)
	case len(s.ahead) > 1 && s.ahead[1].Index == full.Index:
		return fault(s.log, first, "tile %d of level %d is there twice", full.Index, s.level)
	}
	return nil
}
