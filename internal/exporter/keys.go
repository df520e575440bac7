package exporter

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
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

// openSigned has open check something that is signed in the vault, with the keys that are known. bad says why it is not good, err that it could not be found out.
func (e *Exporter) openSigned(open func(known note.Verifiers) error) (bad, err error) {
	if bad = open(e.keys.Load().known); !errors.Is(bad, chain.ErrNotSigned) {
		return bad, nil
	}
	// Another process may have signed with a key that was made since the folder was read.
	keys, err := e.loadKeys()
	if err != nil {
		return nil, err
	}
	return open(keys.known), nil
}

// checkNote checks that what the vault says of a log is what was signed: else whoever has the vault and ClickHouse could have a rewritten log signed.
func (e *Exporter) checkNote(checkpoint vault.Checkpoint) error {
	bad, err := e.openSigned(func(known note.Verifiers) error { return checkpoint.Open(e.ledger.Deployment(), known) })
	if err != nil {
		return err
	}
	if bad != nil {
		return fault(checkpoint.Log, checkpoint.Size-1, "the vault's checkpoint is not good: %v", bad)
	}
	return nil
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
