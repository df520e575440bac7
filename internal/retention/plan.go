package retention

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Cut is a part of a log that may go.
type Cut struct {
	Log     string
	What    string // chain.PrunedEntries or chain.PrunedContents
	Behind  uint64 // the first entry that stays as it is
	Before  uint32 // only entries of epochs before this one go
	Entries uint64 // how many are concerned that were not before
}

// Plan returns what of each log is older than an epoch (year*100+month). The epoch of a log's last entry never goes, nor does entry 0; entries go in whole
// bundles, so up to 255 at the cut stay longer than their epoch. Logs of which nothing can go are left out.
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
	var cuts []Cut
	for len(ranges) > 0 {
		n := 1
		for n < len(ranges) && ranges[n].Log == ranges[0].Log {
			n++
		}
		if cut := cutOf(ranges[:n], what, before, gone[ranges[0].Log]); cut.Entries > 0 {
			cuts = append(cuts, cut)
		}
		ranges = ranges[n:]
	}
	return cuts, nil
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
