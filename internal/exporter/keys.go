package exporter

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/logkeys"
)

// signingKeys are the keys that sign at one time.
type signingKeys struct {
	ids     []string
	signers []note.Signer
	known   note.Verifiers // of these and of those that have signed before
}

var errNoKey = errors.New("no key to sign checkpoints with: make one with \"agentaudit keys rotate\"")

// loadKeys reads the keys. Without one that signs nothing can be vouched for.
func (e *Exporter) loadKeys() (*signingKeys, error) {
	folder, err := e.deps.Keys()
	if err != nil {
		return nil, err
	}
	known, err := logkeys.Verifiers(folder.VKeys())
	if err != nil {
		return nil, err
	}
	keys := &signingKeys{signers: folder.Signers(), known: known}
	for _, key := range folder.Keys() {
		if key.Signing {
			keys.ids = append(keys.ids, key.ID)
		}
	}
	if len(keys.ids) == 0 {
		return nil, errNoKey
	}
	return keys, nil
}

// watchKeys looks every RepublishEvery whether keys were added or retired, until ctx ends. Folders that cannot be read leave the keys as they are: those in
// memory are good, and sealing goes on.
func (e *Exporter) watchKeys(ctx context.Context) error {
	for {
		if sleep(ctx, e.cfg.RepublishEvery) != nil {
			return nil
		}
		keys, err := e.loadKeys()
		if err != nil {
			e.failing("the keys of checkpoints cannot be read, going on with those that were", err)
			continue
		}
		if !slices.Equal(keys.ids, e.keys.Load().ids) {
			e.log.Info("signing checkpoints with other keys", "keys", keys.ids)
			e.keys.Store(keys)
			e.changes.announce() // followers that wait for entries sign anew
		}
	}
}

// Keys reads the folder of keys.
type Keys func() (*logkeys.Folder, error)
