package retention

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Cut is a part of a log that may go.
type Cut struct {
	Log     string
	What    string // chain.PrunedEntries or chain.PrunedContents
	Behind  uint64 // the first entry that stays as it is
	Before  uint32 // only entries of epochs before this one go
	Entries uint64 // how many are concerned that were not before; 0 with Held: the hold keeps them all
	// Held is the legal hold that keeps what is old from Behind on. Nil: none does.
	Held *vault.Hold
}

// Plan returns what of each log is older than an epoch (year*100+month). The epoch of a log's last entry never goes, nor does entry 0; entries go in whole
// bundles, so up to 255 at the cut stay longer than their epoch. A cut ends where an entry involves somebody under a legal hold. Logs of which nothing can go are
// left out, unless a hold is why.
func (p *Pruner) Plan(ctx context.Context, what string, before uint32) ([]Cut, error) {
	ranges, err := p.deps.Store.EpochRanges(ctx)
	if err != nil {
		return nil, err
	}
	prunes, err := p.deps.Vault.Prunes(ctx)
	if err != nil {
		return nil, err
	}
	gone := map[string]uint64{} // by log: below which it went already
	for _, prune := range prunes {
		if prune.What == what || prune.What == chain.PrunedEntries {
			gone[prune.Log] = max(gone[prune.Log], prune.Behind)
		}
	}
	active, err := p.activeHolds(ctx)
	if err != nil {
		return nil, err
	}
	var cuts []Cut
	for len(ranges) > 0 {
		n := 1
		for n < len(ranges) && ranges[n].Log == ranges[0].Log {
			n++
		}
		if cut := cutOf(ranges[:n], what, before, gone[ranges[0].Log]); cut.Entries > 0 {
			first, hold, err := active.first(ctx, p.deps.Store, store.Part{Log: cut.Log, From: cut.Behind - cut.Entries, Behind: cut.Behind})
			if err != nil {
				return nil, err
			}
			if hold != nil {
				cut.endAt(first, hold)
			}
			cuts = append(cuts, cut)
		}
		ranges = ranges[n:]
	}
	return cuts, nil
}

// endAt makes the cut end before an entry that a hold keeps.
func (c *Cut) endAt(first uint64, hold *vault.Hold) {
	from := c.Behind - c.Entries
	if c.What == chain.PrunedEntries {
		first = first / chain.TileWidth * chain.TileWidth
	}
	c.Behind, c.Held = max(first, from), hold
	c.Entries = c.Behind - from
}

// cutOf plans one log. gone is where an earlier cut was.
func cutOf(ranges []store.EpochRange, what string, before uint32, gone uint64) Cut {
	last := ranges[len(ranges)-1]
	cut := Cut{Log: last.Log, What: what, Before: before}
	for _, r := range ranges {
		if r.Epoch > 0 && (r.Epoch >= before || r.Epoch == last.Epoch) {
			cut.Behind = r.First
			break
		}
	}
	from := max(gone, 1)
	if what == chain.PrunedEntries {
		// Ingest looks at the entry before the last one too.
		cut.Behind = min(cut.Behind, last.Last-min(last.Last, 1)) / chain.TileWidth * chain.TileWidth
		from = max(gone, chain.PrunedFrom)
	}
	if cut.Behind > from {
		cut.Entries = cut.Behind - from
	}
	return cut
}
