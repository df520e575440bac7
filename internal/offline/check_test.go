package offline

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// files is a log in memory.
type files map[string][]byte

// Read implements Source.
func (f files) Read(_ context.Context, path string, buf []byte) ([]byte, error) {
	content, ok := f[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return append(buf[:0], content...), nil
}

const theLog = "agent.events/3"

// fixture is a log as it is exported, and the checkpoints that it had on the way.
type fixture struct {
	files  files
	keys   note.Verifiers
	signer note.Signer
	points [][]byte // signed, at each hundred entries
	head   chain.Head
	tree   *chain.Tree
}

func newFixture(t testing.TB, entries int) *fixture {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "acme")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{files: files{}, head: chain.EmptyHead(theLog), tree: chain.NewTree()}
	if f.signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	f.keys = note.VerifierList(verifier)
	var bundle []byte
	for i := range entries {
		entry := f.entry(t, i)
		bundle, err = chain.AppendBundled(bundle, entry)
		if err != nil {
			t.Fatal(err)
		}
		err = f.tree.Append(f.head.Leaf, func(full chain.Tile) error {
			place := chain.TilePlace{Level: full.Level, Index: full.Index, Width: chain.TileWidth}
			f.files[place.Path()] = bytes.Clone(full.Hashes)
			if full.Level == 0 {
				f.files[place.EntriesPath()], bundle = bundle, nil
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if (i+1)%100 == 0 {
			f.points = append(f.points, f.sign(t))
		}
	}
	for _, place := range chain.PartialTiles(uint64(entries)) {
		f.files[place.Path()] = bytes.Clone(f.tree.Partial(place.Level))
		if place.Level == 0 {
			f.files[place.EntriesPath()] = bundle
		}
	}
	f.files["checkpoint"] = f.sign(t)
	return f
}

// entry makes the next entry of the log.
func (f *fixture) entry(t testing.TB, n int) []byte {
	t.Helper()
	h := chain.Header{
		Log: theLog, Seq: f.head.Size, Prev: f.head.Leaf, Epoch: f.head.NextEpoch, SealedMicros: 1795209245123456 + int64(n),
		Source: chain.Source{Offset: int64(n), Next: int64(n) + 1}, Kind: chain.KindRejected,
	}
	body := chain.AppendRejected(nil, &chain.Rejected{Field: "record", Reason: "not JSON", Bytes: n})
	if n == 0 {
		h.Kind, h.Source = chain.KindControl, chain.Source{Offset: chain.NoOffset, Next: 1}
		body = chain.AppendControl(nil, &chain.Control{Op: chain.OpOpen, Deployment: "acme", Topic: "agent.events", Partition: 3, FirstOffset: 1, NextEpoch: 202611})
	}
	entry := chain.AppendEntry(nil, &h, body)
	head, err := chain.HeadOf(entry)
	if err != nil {
		t.Fatal(err)
	}
	f.head = head
	return entry
}

func (f *fixture) sign(t testing.TB) []byte {
	t.Helper()
	point := chain.Checkpoint{Deployment: "acme", Log: theLog, Size: f.tree.Size(), Root: f.tree.Root()}
	signed, err := point.Sign(f.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestCheckGood(t *testing.T) {
	for _, size := range []int{1, 2, 255, 256, 257, 512, 700, 66_000} {
		f := newFixture(t, size)
		checked := uint64(0)
		report, err := Check(t.Context(), f.files, theLog, Options{Keys: f.keys, Pinned: f.points, Progress: func(n uint64) { checked += n }})
		if err != nil || report.FirstBad != nil || report.Size != uint64(size) || report.Root != f.tree.Root().String() || report.Head != f.head.Leaf.String() || checked != uint64(size) {
			t.Errorf("%d entries: %+v, %v, progress %d", size, report, err, checked)
		}
	}
}

// Whatever is changed in the files is found at its place.
func TestCheckFindsChanges(t *testing.T) {
	f := newFixture(t, 700)
	bundle := func(i int) string { return chain.TilePlace{Index: uint64(i), Width: 256}.EntriesPath() }
	const lastBundle, lastTile = "tile/entries/002.p/188", "tile/0/002.p/188"
	for name, c := range map[string]struct {
		change func(files)
		seq    uint64
		reason string
	}{
		"entry changed": {func(l files) { l[bundle(1)] = bytes.Replace(l[bundle(1)], []byte("not JSON"), []byte("not json"), 1) }, 257, "prev does not match"},
		"last entry changed": {func(l files) {
			i := bytes.LastIndex(l[lastBundle], []byte("not JSON"))
			l[lastBundle] = append(bytes.Clone(l[lastBundle][:i]), append([]byte("not json"), l[lastBundle][i+8:]...)...)
		}, 699, "another root"},
		"bundle missing":        {func(l files) { delete(l, bundle(1)) }, 256, "missing"},
		"bundle cut":            {func(l files) { l[bundle(1)] = l[bundle(1)][:1000] }, 0, "missing in its bundle"},
		"bundle longer":         {func(l files) { l[bundle(1)] = append(bytes.Clone(l[bundle(1)]), 0, 0) }, 512, "behind the entries"},
		"bundles swapped":       {func(l files) { l[bundle(0)], l[bundle(1)] = l[bundle(1)], l[bundle(0)] }, 0, ""},
		"bundle twice":          {func(l files) { l[bundle(1)] = l[bundle(0)] }, 256, ""},
		"tile changed":          {func(l files) { l["tile/0/001"] = bytes.ToUpper(l["tile/0/001"]) }, 256, "not made of the entries"},
		"tile missing":          {func(l files) { delete(l, "tile/0/001") }, 256, "missing"},
		"partial tile changed":  {func(l files) { l[lastTile] = l["tile/0/000"][:188*32] }, 512, "not made of the entries"},
		"upper tile changed":    {func(l files) { l["tile/1/000.p/2"] = make([]byte, 64) }, 0, "not made of the entries"},
		"checkpoint changed":    {func(l files) { l["checkpoint"] = bytes.Replace(l["checkpoint"], []byte("700"), []byte("699"), 1) }, 0, "not good"},
		"older checkpoint":      {func(l files) { l["checkpoint"] = f.points[2] }, 300, "replaced by an older copy"},
		"checkpoint of another": {func(l files) { l["checkpoint"] = f.other(t, "agent.events/4", 700) }, 0, "another log"},
		"checkpoint too large":  {func(l files) { l["checkpoint"] = f.other(t, theLog, 5000) }, 512, "missing"},
		"another root":          {func(l files) { l["checkpoint"] = f.other(t, theLog, 700) }, 699, "another root"},
	} {
		t.Run(name, func(t *testing.T) {
			log := maps.Clone(f.files)
			c.change(log)
			report, err := Check(t.Context(), log, theLog, Options{Keys: f.keys, Pinned: f.points[3:]})
			if err != nil || report.FirstBad == nil {
				t.Fatalf("%+v, %v", report, err)
			}
			if bad := report.FirstBad; (c.seq != 0 && bad.Seq != c.seq) || !strings.Contains(bad.Reason, c.reason) {
				t.Errorf("seq %d, %q", bad.Seq, bad.Reason)
			}
		})
	}
}

// other signs a checkpoint that does not fit.
func (f *fixture) other(t *testing.T, log string, size uint64) []byte {
	t.Helper()
	point := chain.Checkpoint{Deployment: "acme", Log: log, Size: size, Root: chain.Hash{7}}
	signed, err := point.Sign(f.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// The report of a bad log is about what is good of it: as many entries as it says, their tree and the last of them.
func TestReportEndsBeforeTheFault(t *testing.T) {
	const size = 700
	f := newFixture(t, size)
	var leaves []chain.Hash
	for _, place := range []chain.TilePlace{{Index: 0, Width: 256}, {Index: 1, Width: 256}, {Index: 2, Width: 188}} {
		rest := f.files[place.EntriesPath()]
		for range place.Width {
			var entry []byte
			entry, rest, _ = chain.CutBundled(rest)
			leaves = append(leaves, chain.LeafHash(entry))
		}
	}
	for _, bad := range []int{0, 1, 100, 255, 256, 300, 511, 512, 600, 699} {
		for _, pinned := range [][][]byte{nil, f.points} {
			log := maps.Clone(f.files)
			place := placeAt(uint64(bad)/chain.TileWidth*chain.TileWidth, size)
			var bundle []byte
			rest := log[place.EntriesPath()]
			for i := range place.Width {
				var entry []byte
				entry, rest, _ = chain.CutBundled(rest)
				if i == bad%chain.TileWidth {
					entry = append(bytes.Clone(entry), ' ')
				}
				bundle, _ = chain.AppendBundled(bundle, entry)
			}
			log[place.EntriesPath()] = bundle
			report, err := Check(t.Context(), log, theLog, Options{Keys: f.keys, Pinned: pinned})
			if err != nil || report.FirstBad == nil || report.FirstBad.Seq != uint64(bad) || report.Size != uint64(bad) {
				t.Fatalf("entry %d changed: %+v, %v", bad, report, err)
			}
			if bad == 0 {
				continue
			}
			tree := chain.NewTree()
			for _, leaf := range leaves[:bad] {
				_ = tree.Append(leaf, func(chain.Tile) error { return nil })
			}
			if report.Root != tree.Root().String() || report.Head != leaves[bad-1].String() {
				t.Errorf("entry %d changed, %d checkpoints: root and head are not those of the entries before", bad, len(pinned))
			}
		}
	}
}

// Two histories, each correct in itself and signed with the right key: whoever kept a checkpoint of one refuses the other.
func TestTwoHistories(t *testing.T) {
	one := newFixture(t, 300)
	two := &fixture{files: files{}, keys: one.keys, signer: one.signer, head: chain.EmptyHead(theLog), tree: chain.NewTree()}
	var bundle []byte
	for i := range 200 {
		entry := two.entry(t, i*2) // other offsets and times from the second entry on
		bundle, _ = chain.AppendBundled(bundle, entry)
		if err := two.tree.Append(two.head.Leaf, func(chain.Tile) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	place := chain.TilePlace{Width: 200}
	two.files[place.EntriesPath()], two.files[place.Path()], two.files["checkpoint"] = bundle, bytes.Clone(two.tree.Partial(0)), two.sign(t)
	if report, err := Check(t.Context(), two.files, theLog, Options{Keys: two.keys}); err != nil || report.FirstBad != nil {
		t.Fatalf("the second history alone: %+v, %v", report, err)
	}
	report, err := Check(t.Context(), two.files, theLog, Options{Keys: two.keys, Pinned: one.points[:1]})
	if err != nil || report.FirstBad == nil || report.FirstBad.Seq != 99 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestCheckErrors(t *testing.T) {
	f := newFixture(t, 300)
	if _, err := Check(t.Context(), files{}, theLog, Options{Keys: f.keys}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no checkpoint: %v", err)
	}
	if _, err := Check(t.Context(), f.files, theLog, Options{Keys: f.keys, Pinned: [][]byte{[]byte("x")}}); err == nil {
		t.Error("took x for a checkpoint")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, f.files, theLog, Options{Keys: f.keys}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	const entries = 100_000
	f := newFixture(b, entries)
	for b.Loop() {
		report, err := Check(b.Context(), f.files, theLog, Options{Keys: f.keys})
		if err != nil || report.FirstBad != nil {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(entries*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
