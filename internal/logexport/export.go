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
		return vault.Checkpoint{}, fmt.Errorf("export %s: %s: %w", log, base, errors.Join(err, fs.ErrExist))
	}
	w := &writer{base: base, verifier: chain.NewVerifier(log), tree: chain.NewTree(), size: checkpoint.Size, progress: e.Progress}
	if err := w.run(ctx, e.Store); err != nil {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log, err)
	}
	if w.tree.Root() != checkpoint.Root {
		return vault.Checkpoint{}, fmt.Errorf("export %s: %w", log,
			&chain.Fault{Log: log, Seq: checkpoint.Size - 1, Reason: "the entries do not make the root of the checkpoint"})
	}
	return checkpoint, durable.Create(filepath.Join(base, "checkpoint"), []byte(checkpoint.Note))
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

var errEnough = errors.New("enough entries for one query")

func (w *writer) run(ctx context.Context, from *store.Store) error {
	for next := uint64(0); next < w.size; next = w.verifier.Head().Size {
		err := from.Scan(ctx, w.verifier.Head().Log, next, func(seq uint64, entry []byte, leaf chain.Hash) error {
			head := w.verifier.Head().Size
			if head == w.size || head-next == entriesPerQuery {
				return errEnough
			}
			return w.add(seq, entry, leaf)
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if head := w.verifier.Head(); head.Size == next {
			return &chain.Fault{Log: head.Log, Seq: next, Reason: fmt.Sprintf("missing, but the checkpoint has %d entries", w.size)}
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

func (w *writer) add(seq uint64, entry []byte, leaf chain.Hash) error {
	if err := w.verifier.Check(seq, entry, leaf); err != nil {
		return err
	}
	var err error
	if w.bundle, err = chain.AppendBundled(w.bundle, entry); err != nil {
		return err
	}
	return w.tree.Append(leaf, func(full chain.Tile) error {
		place := chain.TilePlace{Level: full.Level, Index: full.Index, Width: chain.TileWidth}
		if full.Level == 0 {
			if err := w.write(place.EntriesPath(), w.bundle); err != nil {
				return err
			}
			w.bundle = w.bundle[:0]
			if w.progress != nil {
				w.progress(chain.TileWidth)
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
