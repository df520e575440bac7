package retention

import (
	"testing"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// What of a log goes, without any engine.
func TestCut(t *testing.T) {
	f := func(name, what string, before uint32, gone, behind, entries uint64, ranges ...store.EpochRange) {
		t.Helper()
		cut := cutOf(ranges, what, before, gone)
		if cut.Entries != entries || entries > 0 && cut.Behind != behind {
			t.Errorf("%s: %+v, want %d entries up to %d", name, cut, entries, behind)
		}
	}
	opening := store.EpochRange{Epoch: 0}
	january, february := store.EpochRange{Epoch: 202601, First: 1, Last: 1500}, store.EpochRange{Epoch: 202602, First: 1501, Last: 2800}
	march := store.EpochRange{Epoch: 202603, First: 2801, Last: 4000}
	all := []store.EpochRange{opening, january, february, march}
	const entries, contents = chain.PrunedEntries, chain.PrunedContents

	f("nothing is old", entries, 202601, 0, 0, 0, all...)
	f("one month: whole bundles, but for the first", entries, 202602, 0, 1280, 1280-256, all...)
	f("two months", entries, 202603, 0, 2560, 2560-256, all...)
	f("the month of the last entry stays", entries, 202612, 0, 2560, 2560-256, all...)
	f("a month was pruned before", entries, 202603, 1280, 2560, 1280, all...)
	f("all that is old was", entries, 202603, 2560, 0, 0, all...)
	f("contents go to the entry, but for the opening", contents, 202602, 0, 1501, 1500, all...)
	f("contents of what entries are left of", contents, 202603, 1280, 2801, 2801-1280, all...)
	f("an opening alone", entries, 202612, 0, 0, 0, opening)
	f("one month alone", contents, 202612, 0, 0, 0, opening, january)
	f("an old month in one bundle", entries, 202602, 0, 0, 0, opening, store.EpochRange{Epoch: 202601, First: 1, Last: 300}, store.EpochRange{Epoch: 202602, First: 301, Last: 400})
	// Ingest looks at the last entry and the one before it: a cut between them would take one of the two.
	f("the new month has one entry, which begins a bundle", entries, 202602, 0, 512, 256, opening, store.EpochRange{Epoch: 202601, First: 1, Last: 767}, store.EpochRange{Epoch: 202602, First: 768, Last: 768})
	f("it has two", entries, 202602, 0, 768, 512, opening, store.EpochRange{Epoch: 202601, First: 1, Last: 767}, store.EpochRange{Epoch: 202602, First: 768, Last: 769})
}
