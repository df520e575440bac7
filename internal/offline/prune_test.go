package offline

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// prunable is a log of which entries 256 to 767 can be dropped, and the record of them.
func prunable(t testing.TB) (*fixture, chain.Pruned) {
	t.Helper()
	const behind = 768
	f := newFixture(t, 1100)
	record := chain.Pruned{Deployment: "acme", Log: theLog, What: chain.PrunedEntries, Behind: behind, Next: behind, Epoch: 202611}
	tree := chain.NewTree()
	for i := range behind / chain.TileWidth {
		tile := f.files[fullTile(i).Path()]
		for at := range chain.TileWidth {
			if err := tree.Append(leafAt(tile, at), func(chain.Tile) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		record.Leaf = leafAt(tile, chain.TileWidth-1)
	}
	record.Root = tree.Root()
	return f, record
}

func fullTile(i int) chain.TilePlace {
	return chain.TilePlace{Index: uint64(i), Width: chain.TileWidth}
}

// prune drops the entries that a record names, and puts the record in its place.
func (f *fixture) prune(t testing.TB, record chain.Pruned) files {
	t.Helper()
	log := maps.Clone(f.files)
	for i := 1; uint64(i)*chain.TileWidth < record.Behind; i++ {
		delete(log, fullTile(i).EntriesPath())
	}
	signed, err := record.Sign(f.signer)
	if err != nil {
		t.Fatal(err)
	}
	log[chain.PrunedPath] = signed
	return log
}

// What remains of a pruned log is as good as it was, with checkpoints from before, also those of what is gone.
func TestCheckPruned(t *testing.T) {
	f, record := prunable(t)
	checked := uint64(0)
	report, err := Check(t.Context(), f.prune(t, record), theLog, Options{Keys: f.keys, Pinned: f.points, Progress: func(n uint64) { checked += n }})
	if err != nil || report.FirstBad != nil || report.Pruned == nil || *report.Pruned != record {
		t.Fatalf("%+v, %v", report, err)
	}
	if report.Size != 1100 || report.Root != f.tree.Root().String() || report.Head != f.head.Leaf.String() || checked != 1100 {
		t.Errorf("%+v, progress %d", report, checked)
	}
}

// Nothing is hidden behind a prune record.
func TestCheckFindsChangesOfPrunedLogs(t *testing.T) {
	f, good := prunable(t)
	stranger := newFixture(t, 1)
	for name, c := range map[string]struct {
		record func(*chain.Pruned) // what is signed
		change func(files)
		seq    uint64
		reason string
	}{
		"no record":                       {change: func(l files) { delete(l, chain.PrunedPath) }, seq: 256, reason: "missing"},
		"a record that is none":           {change: func(l files) { l[chain.PrunedPath] = l["checkpoint"] }, seq: 256, reason: "prune record is not good"},
		"a record that nobody has signed": {change: func(l files) { l[chain.PrunedPath] = stranger.prune(t, good)[chain.PrunedPath] }, seq: 256, reason: "no signature of a known key"},
		"a record of another log":         {record: func(p *chain.Pruned) { p.Log = "agent.events/4" }, seq: 256, reason: "of another log"},
		"a record of contents":            {record: func(p *chain.Pruned) { p.What = chain.PrunedContents }, seq: 256, reason: "not of entries"},
		"a record beyond the checkpoint":  {record: func(p *chain.Pruned) { p.Behind = 1280 }, seq: 1100, reason: "the prune record goes to entry 1280"},
		"another root in the record":      {record: func(p *chain.Pruned) { p.Root = chain.Hash{7} }, seq: 256, reason: "root of the prune record"},
		"another leaf in the record":      {record: func(p *chain.Pruned) { p.Leaf = chain.Hash{7} }, seq: 768, reason: "prev does not match"},
		"another offset in the record":    {record: func(p *chain.Pruned) { p.Next = 5000 }, seq: 768, reason: "offset"},
		"another epoch in the record":     {record: func(p *chain.Pruned) { p.Epoch = 202612 }, seq: 768, reason: "epoch"},
		"a tile of what is gone changed":  {change: func(l files) { l["tile/0/001"] = bytes.Replace(l["tile/0/001"], []byte{0}, []byte{1}, 1) }, seq: 256, reason: "root of the prune record"},
		"a tile of what is gone missing":  {change: func(l files) { delete(l, "tile/0/002") }, seq: 512, reason: "missing"},
		"a tile of what is gone cut":      {change: func(l files) { l["tile/0/002"] = l["tile/0/002"][:320] }, seq: 512, reason: "its entries were pruned"},
		"two such tiles swapped":          {change: func(l files) { l["tile/0/001"], l["tile/0/002"] = l["tile/0/002"], l["tile/0/001"] }, seq: 256, reason: "root of the prune record"},
		"a bundle more than the record":   {change: func(l files) { delete(l, fullTile(3).EntriesPath()) }, seq: 768, reason: "missing"},
		"the bundle before the gap":       {change: func(l files) { delete(l, fullTile(0).EntriesPath()) }, seq: 0, reason: "missing"},
		"an entry behind the gap": {change: func(l files) {
			path := fullTile(3).EntriesPath()
			l[path] = bytes.Replace(l[path], []byte("not JSON"), []byte("not json"), 1)
		}, seq: 769, reason: "prev does not match"},
	} {
		t.Run(name, func(t *testing.T) {
			record := good
			if c.record != nil {
				c.record(&record)
			}
			log := f.prune(t, record)
			if c.change != nil {
				c.change(log)
			}
			report, err := Check(t.Context(), log, theLog, Options{Keys: f.keys})
			if err != nil || report.FirstBad == nil {
				t.Fatalf("%+v, %v", report, err)
			}
			if bad := report.FirstBad; bad.Seq != c.seq || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("seq %d, %q; want %d and %q", bad.Seq, bad.Reason, c.seq, c.reason)
			}
		})
	}
}

// going is a log of which entries go while it is read: its record is there as soon as somebody has missed them.
type going struct {
	files
	missed atomic.Bool
}

// Read implements Source.
func (g *going) Read(ctx context.Context, path string, buf []byte) ([]byte, error) {
	if path == chain.PrunedPath && !g.missed.Load() {
		return nil, fs.ErrNotExist
	}
	content, err := g.files.Read(ctx, path, buf)
	if err != nil {
		g.missed.Store(true)
	}
	return content, err
}

// Entries that go while they are read are no fault.
func TestCheckWhileEntriesGo(t *testing.T) {
	f, record := prunable(t)
	log := &going{files: f.prune(t, record)}
	if report, err := Check(t.Context(), log, theLog, Options{Keys: f.keys}); err != nil || report.FirstBad != nil || report.Pruned == nil {
		t.Errorf("%+v, %v", report, err)
	}
	// More that is missing than the record says is one.
	deleted := &going{files: f.prune(t, record)}
	delete(deleted.files, fullTile(3).EntriesPath())
	if report, err := Check(t.Context(), deleted, theLog, Options{Keys: f.keys}); err != nil || report.FirstBad == nil || report.FirstBad.Seq != 768 {
		t.Errorf("%+v, %v", report, err)
	}
}
