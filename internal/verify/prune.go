package verify

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// prunes returns what was dropped of a log: the record about entries (nil: none), and the seq below which contents are gone. A record that is not signed by a
// known key is a *chain.Fault: whoever has the vault could hide with it what he deletes.
func (k *knowledge) prunes(log string, keys note.Verifiers) (entries *chain.Pruned, contents uint64, err error) {
	for _, stored := range k.pruned[log] {
		p, err := openPruned(stored, k.deployment, keys)
		if err != nil {
			return nil, 0, &chain.Fault{Log: log, Seq: stored.Behind, Reason: err.Error()}
		}
		switch {
		case p.What == chain.PrunedEntries && (entries == nil || entries.Behind < p.Behind):
			entries = &p
		case p.What == chain.PrunedContents:
			contents = max(contents, p.Behind)
		}
	}
	return entries, contents, nil
}

func openPruned(stored vault.Prune, deployment string, keys note.Verifiers) (chain.Pruned, error) {
	p, err := chain.ReadPruned([]byte(stored.Note))
	if err == nil && keys != nil {
		p, err = chain.OpenPruned([]byte(stored.Note), keys)
	}
	if err != nil {
		return chain.Pruned{}, fmt.Errorf("the vault's prune record is not good: %w", err)
	}
	if p.Deployment != deployment || p.Log != stored.Log || p.What != stored.What || p.Behind != stored.Behind {
		return chain.Pruned{}, fmt.Errorf("the vault's prune record behind %d is signed for something else", stored.Behind)
	}
	return p, nil
}
