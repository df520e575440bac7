package main

import (
	"crypto/rand"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	benchLog        = "agent.events/0"
	benchDeployment = "bench"
)

// exported is a folder as `agentaudit log export` writes it, with one log in it.
type exported struct {
	dir     string
	vkey    string
	entries uint64
}

// makeFolder writes a log of so many entries below dir.
func makeFolder(dir string, entries uint64) (*exported, error) {
	private, public, err := note.GenerateKey(rand.Reader, benchDeployment)
	if err != nil {
		return nil, err
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, err
	}
	w := &folderWriter{base: filepath.Join(dir, filepath.FromSlash(benchLog)), tree: chain.NewTree(), folders: map[string]bool{}}
	m := newLogMaker(benchLog)
	if err := m.open(benchDeployment); err != nil {
		return nil, err
	}
	for n := uint64(0); ; m.event() {
		if err := w.add(m.entry, m.leaf); err != nil {
			return nil, err
		}
		if n++; n == entries {
			break
		}
	}
	for _, place := range chain.PartialTiles(entries) {
		if err := w.write(place.Path(), w.tree.Partial(place.Level)); err != nil {
			return nil, err
		}
		if place.Level == 0 {
			if err := w.write(place.EntriesPath(), w.bundle); err != nil {
				return nil, err
			}
		}
	}
	point := chain.Checkpoint{Deployment: benchDeployment, Log: benchLog, Size: entries, Root: w.tree.Root()}
	signed, err := point.Sign(signer)
	if err != nil {
		return nil, err
	}
	return &exported{dir: dir, vkey: public, entries: entries}, w.write("checkpoint", signed)
}

// folderWriter writes the files of one log. What a crash would leave does not matter here.
type folderWriter struct {
	base    string
	tree    *chain.Tree
	bundle  []byte
	folders map[string]bool // that are there
}

func (w *folderWriter) add(entry []byte, leaf chain.Hash) (err error) {
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
		}
		return w.write(place.Path(), full.Hashes)
	})
}

func (w *folderWriter) write(path string, content []byte) error {
	path = filepath.Join(w.base, filepath.FromSlash(path))
	if folder := filepath.Dir(path); !w.folders[folder] {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		w.folders[folder] = true
	}
	return os.WriteFile(path, content, 0o600)
}
