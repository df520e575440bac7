// Package logexport writes logs to a folder as they are served (C2SP tlog-tiles), so that they can be checked and kept without the systems they come from.
package logexport

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/walk"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Exporter reads logs from the store up to the vault's checkpoints.
type Exporter struct {
	Store *store.Store
	Vault *vault.Vault
	// Progress is called now and then with the number of entries written since its last call. May be nil.
	Progress func(entries uint64)
}

// ErrNoCheckpoint: nothing is signed about the log yet.
var ErrNoCheckpoint = errors.New("there is no checkpoint of this log yet")

// Log writes one log below folder and returns its checkpoint. The checkpoint's file is written last: a folder without it was not finished. What is there of
// the log already is an error (fs.ErrExist), so that two exports are not mixed. Entries and tiles are checked on the way as the checkpoint demands; a
// *chain.Fault says that the log is not what is signed, and then there is no checkpoint in the folder.
func (e *Exporter) Log(ctx context.Context, folder, log string) (vault.Checkpoint, error) {
	checkpoint, found, err := e.Vault.Checkpoint(ctx, log)
	if err != nil {
		return vault.Checkpoint{}, err
	}
	if !found {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log, ErrNoCheckpoint)
	}
	base := filepath.Join(folder, filepath.FromSlash(log))
	if _, err := os.Stat(base); !errors.Is(err, fs.ErrNotExist) {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %s is there, perhaps of an export that was broken off; remove it or take another folder: %w", log, base, errors.Join(err, fs.ErrExist))
	}
	pruned, err := e.pruned(ctx, log)
	if err != nil {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log, err)
	}
	w := &writer{base: base, verifier: chain.NewVerifier(log), tree: chain.NewTree(), size: checkpoint.Size, progress: e.Progress}
	if err := w.run(ctx, e.Store, pruned.record); err != nil {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log, err)
	}
	if w.tree.Root() != checkpoint.Root {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log,
			&chain.Fault{Log: log, Seq: checkpoint.Size - 1, Reason: "the entries do not make the root of the checkpoint"})
	}
	if pruned.record != nil {
		if err := w.write(chain.PrunedPath, []byte(pruned.note)); err != nil {
			return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log, err)
		}
	}
	return checkpoint, durable.Create(filepath.Join(base, "checkpoint"), []byte(checkpoint.Note))
}

// prunedPart is what was dropped of a log.
type prunedPart struct {
	record *chain.Pruned // nil: nothing
	note   string
}

// pruned reads the record of what was dropped. Its signature is for those to check who read the folder.
func (e *Exporter) pruned(ctx context.Context, log string) (prunedPart, error) {
	stored, _, err := e.Vault.LatestPrunes(ctx, log)
	if err != nil || stored == nil {
		return prunedPart{}, err
	}
	record, err := chain.ReadPruned([]byte(stored.Note))
	if err != nil {
		return prunedPart{}, err
	}
	return prunedPart{&record, stored.Note}, nil
}

// writer writes the files of one log.
type writer struct {
	base     string
	verifier *chain.Verifier
	tree     *chain.Tree
	size     uint64
	bundle   []byte
	progress func(uint64)
}

// entriesPerQuery keeps one query short: a long log is read in many.
const entriesPerQuery = 200_000

func (w *writer) run(ctx context.Context, from *store.Store, pruned *chain.Pruned) error {
	log := w.verifier.Head().Log
	way := walk.Walk{Scan: from.ScanLinks, Tiles: from.Tiles, Verifier: w.verifier, Each: w.add, Pruned: pruned, Tree: w.tree}
	for w.verifier.Head().Size < w.size {
		more, err := way.Step(ctx, min(entriesPerQuery, w.size-w.verifier.Head().Size))
		if err != nil {
			return err
		}
		if head := w.verifier.Head().Size; !more && head < w.size {
			return &chain.Fault{Log: log, Seq: head, Reason: fmt.Sprintf("missing, but the checkpoint has %d entries", w.size)}
		}
	}
	for _, place := range chain.PartialTiles(w.size) {
		if err := w.write(place.Path(), w.tree.Partial(place.Level)); err != nil {
			return err
		}
		if place.Level == 0 {
			if err := w.write(place.EntriesPath(), w.bundle); err != nil {
				return err
			}
		}
	}
	return nil
}

// add writes a good entry; of one that was pruned, nil, its leaf hash only.
func (w *writer) add(_ uint64, entry []byte, leaf chain.Hash) error {
	if entry != nil {
		var err error
		if w.bundle, err = chain.AppendBundled(w.bundle, entry); err != nil {
			return err
		}
	}
	return w.tree.Append(leaf, func(full chain.Tile) error {
		place := chain.TilePlace{Level: full.Level, Index: full.Index, Width: chain.TileWidth}
		if full.Level == 0 {
			if w.progress != nil {
				w.progress(chain.TileWidth)
			}
			if len(w.bundle) > 0 {
				if err := w.write(place.EntriesPath(), w.bundle); err != nil {
					return err
				}
				w.bundle = w.bundle[:0]
			}
		}
		return w.write(place.Path(), full.Hashes)
	})
}

func (w *writer) write(path string, content []byte) error {
	path = filepath.Join(w.base, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
