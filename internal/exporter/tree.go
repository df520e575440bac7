package exporter

import (
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// loadTree returns the tree below a checkpoint from the tiles at its right edge, which must make the checkpoint's root with the checkpoint's head as the last
// leaf: the head is what following goes on from, and nothing else ties it to the root. If they do not, the whole log is read for the place where it differs
// from what was vouched for.
func (e *Exporter) loadTree(ctx context.Context, checkpoint vault.Checkpoint) (*chain.Tree, error) {
	tree, err := chain.LoadTree(checkpoint.Size-1, func(level int, index uint64, width int) ([]byte, error) {
		return e.table.TileHashes(ctx, checkpoint.Log, chain.TilePlace{Level: level, Index: index, Width: width})
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err == nil {
		// The tiles that the last leaf completes were stored before the checkpoint.
		err = tree.Append(checkpoint.Head, func(chain.Tile) error { return nil })
	}
	if err == nil && tree.Root() == checkpoint.Root {
		return tree, nil
	}
	if err := e.checkWhole(ctx, checkpoint, stepEntries, atOnce); err != nil {
		return nil, err
	}
	// Entries and tiles are as they were: it is the checkpoint that says something else.
	return nil, fault(checkpoint.Log, checkpoint.Size-1, "entries and tiles do not make the root of the vault's checkpoint")
}
