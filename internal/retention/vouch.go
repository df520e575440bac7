package retention

import (
	"context"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/walk"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// entriesPerQuery bounds the time of one query.
const entriesPerQuery = 1_000_000

// vouch checks a log from its first entry to its signed checkpoint, tiles included, and returns the signed record of the cut. What is dropped was there,
// and was what the checkpoint covers.
func (p *Pruner) vouch(ctx context.Context, cut Cut, keys signing) ([]byte, error) {
	checkpoint, found, err := p.deps.Vault.Checkpoint(ctx, cut.Log)
	if err != nil {
		return nil, err
	}
	if !found || checkpoint.Size <= cut.Behind {
		return nil, fmt.Errorf("the log's checkpoint covers %d entries, and %d are to go: is an exporter running?", checkpoint.Size, cut.Behind)
	}
	deployment := p.deps.Vault.Deployment()
	if err := checkpoint.Open(deployment, keys.known); err != nil {
		return nil, fmt.Errorf("the vault's checkpoint is not good: %w", err)
	}
	w := walk.Walk{Scan: p.deps.Store.ScanLinks, Tiles: p.deps.Store.Tiles, Verifier: chain.NewVerifier(cut.Log), Tree: chain.NewTree()}
	if w.Pruned, err = p.before(ctx, cut.Log, keys); err != nil {
		return nil, err
	}
	tiles := p.deps.Store.NewTileChecker(cut.Log)
	var at chain.Head
	var root chain.Hash
	w.Each = func(seq uint64, _ []byte, leaf chain.Hash) error {
		if err := w.Tree.Append(leaf, func(full chain.Tile) error { return tiles.Check(ctx, full) }); err != nil {
			return err
		}
		if seq+1 == cut.Behind {
			at, root = w.Verifier.Head(), w.Tree.Root()
		}
		return nil
	}
	for w.Verifier.Head().Size < checkpoint.Size {
		more, err := w.Step(ctx, min(entriesPerQuery, checkpoint.Size-w.Verifier.Head().Size))
		if err != nil {
			return nil, err
		}
		if head := w.Verifier.Head().Size; !more && head < checkpoint.Size {
			return nil, &chain.Fault{Log: cut.Log, Seq: head, Reason: fmt.Sprintf("missing, but the vault's checkpoint has %d entries", checkpoint.Size)}
		}
	}
	if w.Tree.Root() != checkpoint.Root {
		return nil, &chain.Fault{Log: cut.Log, Seq: checkpoint.Size - 1, Reason: "the entries do not make the root of the vault's checkpoint"}
	}
	if at.Size != cut.Behind {
		return nil, fmt.Errorf("there is no entry before %d to vouch for", cut.Behind)
	}
	if at.Epoch >= cut.Before {
		// The plan was made from a column, which whoever has the table can change; epochs never go back along a log.
		return nil, &chain.Fault{Log: cut.Log, Seq: cut.Behind - 1, Reason: fmt.Sprintf("stands in epoch %d, and what goes is before %d: the column beside it says otherwise", at.Epoch, cut.Before)}
	}
	pruned := chain.Pruned{
		Deployment: deployment, Log: cut.Log, What: cut.What, Behind: cut.Behind,
		Leaf: at.Leaf, Root: root, Next: at.Next, Epoch: at.NextEpoch,
	}
	return pruned.Sign(keys.signers...)
}

// before returns the record of what was dropped earlier; nil: nothing.
func (p *Pruner) before(ctx context.Context, log string, keys signing) (*chain.Pruned, error) {
	stored, _, err := p.deps.Vault.LatestPrunes(ctx, log)
	if err != nil || stored == nil {
		return nil, err
	}
	pruned, err := stored.Open(p.deps.Vault.Deployment(), keys.known)
	if err != nil {
		return nil, fmt.Errorf("the record of what was pruned before: %w", err)
	}
	return &pruned, nil
}
