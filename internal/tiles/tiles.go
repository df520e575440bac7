// Package tiles holds the stored tiles of a log against its entries, and mends them. Tiles follow from entries, so a wrong one is no loss; but the exporter
// does not go on with a log whose tiles are not right, and proofs need them.
package tiles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/walk"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Deps are where entries, tiles and checkpoints are.
type Deps struct {
	Store *store.Store
	Vault *vault.Vault
	Keys  note.Verifiers // whose signatures count
	// Progress is called now and then with the number of entries checked since its last call. May be nil.
	Progress func(entries uint64)
}

// ErrNoCheckpoint: nothing is signed about the log yet, so nothing says what its tiles must be.
var ErrNoCheckpoint = errors.New("there is no checkpoint of this log yet")

// Wrong is a place where the stored tile is not the one that follows from the entries.
type Wrong struct {
	Level   int
	Index   uint64
	Problem store.TileProblem
	root    chain.Hash // of the right one
}

// Findings are what a check of a log has found. They belong to one goroutine.
type Findings struct {
	Log   string
	Size  uint64     // entries that the signed checkpoint covers
	Root  chain.Hash // which they make
	Wrong []Wrong    // by level and index
	deps  Deps
}

// entriesPerQuery keeps one query short: a long log is read in many.
const entriesPerQuery = 200_000

// Check reads a log from its first entry to the vault's signed checkpoint and finds the wrong tiles below it. A *chain.Fault says that the entries are not
// what is signed, or that what was pruned of them cannot be vouched for by what is left: then nothing can be said about tiles, and nothing be mended.
func Check(ctx context.Context, deps Deps, log string) (*Findings, error) {
	checkpoint, found, err := deps.Vault.Checkpoint(ctx, log)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("%s: %w", log, ErrNoCheckpoint)
	}
	if err := checkpoint.Open(deps.Vault.Deployment(), deps.Keys); err != nil {
		return nil, fault(log, checkpoint.Size-1, "the vault's checkpoint is not good: %v", err)
	}
	pruned, err := openPruned(ctx, deps, log)
	if err != nil {
		return nil, err
	}

	f := &Findings{Log: log, Size: checkpoint.Size, Root: checkpoint.Root, deps: deps}
	stored := deps.Store.NewTileChecker(log)
	w := walk.Walk{Scan: deps.Store.ScanLinks, Tiles: deps.Store.Tiles, Verifier: chain.NewVerifier(log), Tree: chain.NewTree(), Pruned: pruned}
	w.Each = func(_ uint64, _ []byte, leaf chain.Hash) error {
		return w.Tree.Append(leaf, func(full chain.Tile) error {
			problem, err := stored.Compare(ctx, full)
			if err == nil && problem != store.TileRight {
				f.Wrong = append(f.Wrong, Wrong{full.Level, full.Index, problem, full.Root})
			}
			return err
		})
	}
	for done := uint64(0); done < checkpoint.Size; {
		more, err := w.Step(ctx, min(entriesPerQuery, checkpoint.Size-done))
		if err != nil {
			return nil, err
		}
		now := w.Verifier.Head().Size
		if !more && now < checkpoint.Size {
			return nil, fault(log, now, "missing, but the vault's checkpoint has %d entries", checkpoint.Size)
		}
		if deps.Progress != nil {
			deps.Progress(now - done)
		}
		done = now
	}
	if w.Verifier.Head().Leaf != checkpoint.Head || w.Tree.Root() != checkpoint.Root {
		return nil, fault(log, checkpoint.Size-1, "the entries do not make the root of the vault's checkpoint")
	}
	slices.SortFunc(f.Wrong, func(a, b Wrong) int { return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Index, b.Index)) })
	return f, nil
}

// openPruned returns the record of what was dropped of a log; nil: nothing was.
func openPruned(ctx context.Context, deps Deps, log string) (*chain.Pruned, error) {
	stored, _, err := deps.Vault.LatestPrunes(ctx, log)
	if err != nil || stored == nil {
		return nil, err
	}
	pruned, err := stored.Open(deps.Vault.Deployment(), deps.Keys)
	if err != nil {
		return nil, fault(log, chain.PrunedFrom, "the vault's prune record is not good: %v", err)
	}
	return &pruned, nil
}

// Mend puts the right tiles in the place of the wrong ones. Nothing is stored that does not have the root that Check has computed from the entries. It can be
// interrupted and called again; then, as well as after an error, Check says what is left to do.
func (f *Findings) Mend(ctx context.Context) error {
	// From the leaves up: the hashes of a tile are the roots of those below, which must be right first.
	for batch := range slices.Chunk(f.Wrong, store.MaxReplaceTiles) {
		for len(batch) > 0 {
			n := slices.IndexFunc(batch, func(w Wrong) bool { return w.Level != batch[0].Level })
			if n < 0 {
				n = len(batch)
			}
			if err := f.replace(ctx, batch[:n]); err != nil {
				return err
			}
			batch = batch[n:]
		}
	}
	return nil
}

// replace mends tiles of one level.
func (f *Findings) replace(ctx context.Context, wrong []Wrong) error {
	right := make([]store.StoredTile, 0, len(wrong))
	for _, w := range wrong {
		hashes, err := f.hashes(ctx, w)
		if err != nil {
			return err
		}
		right = append(right, store.StoredTile{Level: w.Level, Index: w.Index, Hashes: hashes, Root: w.root})
	}
	return f.deps.Store.ReplaceTiles(ctx, f.Log, right)
}

// hashes returns those of the right tile.
func (f *Findings) hashes(ctx context.Context, w Wrong) ([]byte, error) {
	first := w.Index * chain.TileWidth
	var hashes []byte
	var err error
	if w.Level == 0 {
		hashes, err = f.deps.Store.LeafHashes(ctx, f.Log, first, chain.TileWidth)
	} else {
		hashes, err = f.deps.Store.TileRoots(ctx, f.Log, w.Level-1, first, chain.TileWidth)
	}
	if w.Level == 0 && errors.Is(err, store.ErrNotFound) {
		// Its entries were pruned. The hashes beside a wrong root are right: Check has made the signed root from them.
		hashes, err = f.deps.Store.TileHashes(ctx, f.Log, chain.TilePlace{Index: w.Index, Width: chain.TileWidth})
	}
	if err != nil {
		return nil, err
	}
	if root, err := chain.TileRoot(hashes); err != nil || root != w.root {
		return nil, fmt.Errorf("tile %d of level %d of %s: what it is made of has changed since it was checked", w.Index, w.Level, f.Log)
	}
	return hashes, nil
}

func fault(log string, seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
