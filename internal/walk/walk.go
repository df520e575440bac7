// Package walk reads a stored log from its first entry on and checks it: every entry and link, and what was pruned by the tiles that remain of it. One query
// is bounded by a time, so a log is read in steps.
package walk

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Scan calls fn with the stored entries of a log from a seq on, in order: store.Store.ScanLinks, or one that looks at more columns.
type Scan func(ctx context.Context, log string, from uint64, fn func(*store.Scanned) error) error

// Tiles reads full tiles: store.Store.Tiles.
type Tiles func(ctx context.Context, log string, level int, from uint64, limit int) ([]store.StoredTile, error)

// Walk is the way along one log. It belongs to one goroutine.
type Walk struct {
	Scan Scan
	// Verifier stands where the walk begins, and then behind the last good entry.
	Verifier *chain.Verifier
	// Each is called with each good entry, and with a nil entry for each that was pruned. Its error ends the step and is returned as it is.
	Each func(seq uint64, entry []byte, leaf chain.Hash) error

	// Pruned says what of the log was dropped; nil: nothing. Its signature was checked.
	Pruned *chain.Pruned
	// Tree holds the leaves that Each was called with, for Pruned.Root. Needed with Pruned.
	Tree *chain.Tree
	// Tiles are needed with Pruned.
	Tiles Tiles

	skipped bool // the verifier's last entry is one that was pruned
}

// errEnough ends a scan early.
var errEnough = errors.New("enough entries for one step")

// Step goes on, limit entries at most and pruned ones besides. more says that it ended at the limit. A *chain.Fault says what is wrong, and where; behind it the walk
// cannot go on.
//
// It begins with the last entry of the step before: if that is gone or another one, so is what was vouched for, and a second one beside it is a double.
func (w *Walk) Step(ctx context.Context, limit uint64) (more bool, err error) {
	if w.Pruned != nil && w.Verifier.Head().Size == chain.PrunedFrom {
		if err := w.skip(ctx); err != nil {
			return false, err
		}
	}
	head := w.Verifier.Head()
	anchored := head.Size == 0 || w.skipped
	from := head.Size
	if !anchored {
		from--
	}
	checked := uint64(0)
	err = w.Scan(ctx, head.Log, from, func(e *store.Scanned) error {
		if !anchored {
			if e.Seq != head.Size-1 {
				return missing(head)
			}
			if e.Leaf != head.Leaf || e.Link.Leaf() != head.Leaf {
				return fault(head.Log, e.Seq, "no longer the entry that was checked")
			}
			anchored = true
			return nil
		}
		if checked == limit || checked > 0 && w.atPruned() {
			return errEnough
		}
		if err := w.Verifier.CheckLink(e.Seq, e.Leaf, e.Link); err != nil {
			return err
		}
		checked++
		w.skipped = false
		return w.Each(e.Seq, e.Entry, e.Leaf)
	})
	switch {
	case errors.Is(err, errEnough):
		return true, nil
	case err != nil:
		return false, err
	case !anchored:
		return false, missing(head)
	case w.skipped:
		return false, fault(head.Log, head.Size, "missing, but the log goes on here behind what was pruned")
	}
	return w.atPruned(), nil
}

// atPruned says that the next entry is the first of those that were pruned.
func (w *Walk) atPruned() bool { return w.Pruned != nil && w.Verifier.Head().Size == chain.PrunedFrom }

// tilesAhead is how many tiles one query reads: 2 MiB.
const tilesAhead = 256

// skip goes on behind the entries that were pruned. What may still be stored of them is not looked at: they are being dropped.
func (w *Walk) skip(ctx context.Context) error {
	log, behind := w.Pruned.Log, w.Pruned.Behind/chain.TileWidth
	for index := uint64(chain.PrunedFrom / chain.TileWidth); index < behind; {
		tiles, err := w.Tiles(ctx, log, 0, index, tilesAhead)
		if err != nil {
			return err
		}
		for i := 0; i < len(tiles) && index < behind; i, index = i+1, index+1 {
			if err := w.skipTile(&tiles[i], index); err != nil {
				return err
			}
		}
		if len(tiles) == 0 {
			return fault(log, index*chain.TileWidth, "tile %d of level 0 is missing, and its entries were pruned", index)
		}
	}
	if w.Tree.Size() != w.Pruned.Behind || w.Tree.Root() != w.Pruned.Root {
		return fault(log, chain.PrunedFrom, "the leaf hashes that remain of the pruned entries do not make the root of the prune record")
	}
	w.skipped = true
	return w.Verifier.Skip(w.Pruned)
}

func (w *Walk) skipTile(tile *store.StoredTile, index uint64) error {
	first := index * chain.TileWidth
	if tile.Index != index || len(tile.Hashes) != chain.TileBytes {
		return fault(w.Pruned.Log, first, "tile %d of level 0 is missing, doubled or damaged, and its entries were pruned", index)
	}
	for i := range uint64(chain.TileWidth) {
		if err := w.Each(first+i, nil, chain.Hash(tile.Hashes[i*chain.HashBytes:])); err != nil {
			return err
		}
	}
	return nil
}

func missing(head chain.Head) error {
	return fault(head.Log, head.Size-1, "missing, but %d entries were checked before", head.Size)
}

func fault(log string, seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
