package verify

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// prunes returns what was dropped of a log: the record about entries (nil: none), and the seq below which contents are gone. A record that is not signed by a
// known key is a *chain.Fault.
func (k *knowledge) prunes(log string, keys note.Verifiers) (entries *chain.Pruned, contents uint64, err error) {
	for _, stored := range k.pruned[log] {
		p, err := stored.Open(k.deployment, keys)
		if err != nil {
			return nil, 0, &chain.Fault{Log: log, Seq: stored.Behind, Reason: fmt.Sprintf("the vault's prune record is not good: %v", err)}
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
