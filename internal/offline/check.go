package offline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Options say against what a log is held.
type Options struct {
	Keys note.Verifiers
	// Pinned are signed checkpoints that were kept elsewhere, of any log.
	Pinned [][]byte
	// Progress is called now and then with the number of entries checked since its last call. May be nil.
	Progress func(entries uint64)
}

// Report is the answer about one log.
type Report struct {
	Log      string
	Size     uint64        // entries that are good, from the first on
	Root     string        // of the tree over them, hex; empty: there are none
	Head     string        // leaf hash of the last of them, hex
	FirstBad *chain.Fault  // nil: the log is what its checkpoint says
	Pruned   *chain.Pruned // what retention has dropped, by a signed record; nil: nothing

	deployment string
	goneBefore uint64 // what was pruned when the check began
}

const (
	// readAhead is how many bundles are read and prepared at a time: enough to keep two processors busy over a network. Each takes a quarter of a megabyte of
	// memory with entries of 500 bytes.
	readAhead = 8
	// progressStep is how many entries pass between two reports of progress.
	progressStep = 1 << 15
)

// Check reads a whole log: the checkpoint and its signature, every entry and link, every tile, and whether they make the signed root and that of each pinned
// checkpoint. A bad log is not an error but the answer; an error means that it could not be found out.
func Check(ctx context.Context, from Source, log string, o Options) (Report, error) {
	report, err := checkOnce(ctx, from, log, o)
	if err != nil || report.FirstBad == nil {
		return report, err
	}
	// Entries that go while they are read look like deleted ones.
	now := &check{log: log, from: from, deployment: report.deployment}
	if err := now.readPruned(ctx, math.MaxUint64, o.Keys); err != nil || now.pruned == nil || now.pruned.Behind == report.goneBefore {
		return report, nil //nolint:nilerr // a record that is not good was reported
	}
	return checkOnce(ctx, from, log, o)
}

func checkOnce(ctx context.Context, from Source, log string, o Options) (Report, error) {
	signed, err := from.Read(ctx, "checkpoint", nil)
	if err != nil {
		return Report{}, fmt.Errorf("read the checkpoint of %s: %w", log, err)
	}
	c := &check{log: log, from: from, verifier: chain.NewVerifier(log), tree: chain.NewTree(), progress: o.Progress}
	err = c.run(ctx, signed, o)
	if c.progress != nil {
		c.progress(c.pending)
	}
	head := c.verifier.Head()
	report := Report{Log: log, Size: head.Size, deployment: c.deployment}
	if c.pruned != nil {
		report.goneBefore = c.pruned.Behind
		if head.Size >= c.pruned.Behind {
			report.Pruned = c.pruned
		}
	}
	if head.Size > 0 && c.tree.Size() == head.Size {
		report.Root, report.Head = c.tree.Root().String(), head.Leaf.String()
	}
	if errors.As(err, &report.FirstBad) {
		return report, nil
	}
	if err != nil {
		return Report{}, fmt.Errorf("check %s: %w", log, err)
	}
	return report, nil
}

// check is the check of one log.
type check struct {
	log        string
	deployment string // that signs
	from       Source
	verifier   *chain.Verifier
	tree       *chain.Tree
	pruned     *chain.Pruned      // nil: nothing was
	anchors    []chain.Checkpoint // that are still ahead, smallest first
	progress   func(uint64)
	pending    uint64
}

func (c *check) run(ctx context.Context, signed []byte, o Options) error {
	point, _, err := chain.OpenCheckpoint(signed, o.Keys)
	switch {
	case err != nil:
		return c.bad(0, "the checkpoint is not good: %v", err)
	case point.Log != c.log:
		return c.bad(0, "the checkpoint is that of another log")
	}
	c.anchors, c.deployment = []chain.Checkpoint{point}, point.Deployment
	if err := c.readPruned(ctx, point.Size, o.Keys); err != nil {
		return err
	}
	for i, pinned := range o.Pinned {
		kept, _, err := chain.OpenCheckpoint(pinned, o.Keys)
		if err != nil {
			return fmt.Errorf("checkpoint %d of those given: %w", i+1, err)
		}
		if kept.Log != c.log || kept.Deployment != point.Deployment {
			continue
		}
		if kept.Size > point.Size {
			return c.bad(point.Size, "the checkpoint has %d entries, but one that was kept has %d: the log was cut or replaced by an older copy", point.Size, kept.Size)
		}
		c.anchors = append(c.anchors, kept)
	}
	slices.SortFunc(c.anchors, func(a, b chain.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	if err := c.entries(ctx, point.Size); err != nil {
		return err
	}
	return c.partialTiles(ctx, point.Size)
}

// readPruned reads what was dropped of the log, if anything was.
func (c *check) readPruned(ctx context.Context, size uint64, keys note.Verifiers) error {
	signed, err := c.from.Read(ctx, chain.PrunedPath, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pruned, err := chain.OpenPruned(signed, keys)
	switch {
	case err != nil:
		return c.bad(chain.PrunedFrom, "the prune record is not good: %v", err)
	case pruned.Log != c.log || pruned.Deployment != c.deployment || pruned.What != chain.PrunedEntries:
		return c.bad(chain.PrunedFrom, "the prune record is of another log, or not of entries")
	case pruned.Behind >= size:
		return c.bad(size, "the prune record goes to entry %d, but the checkpoint has %d entries", pruned.Behind, size)
	}
	c.pruned = &pruned
	return nil
}

// isPruned says that a bundle was dropped. Of its entries there are the leaf hashes, in the tile over them.
func (c *check) isPruned(place chain.TilePlace) bool {
	first := place.Index * chain.TileWidth
	return c.pruned != nil && first >= chain.PrunedFrom && first < c.pruned.Behind
}

// bundle is a file of entries on its way. What needs no order, nearly all of the work, is done to it before its turn comes.
type bundle struct {
	place   chain.TilePlace
	content []byte
	opening []byte       // its first entry, if that is the first of the log
	links   []chain.Link // of its entries; fewer than it should have: the file ends early
	leaves  []byte       // their leaf hashes
	rest    int          // bytes behind the entries
	err     error        // the file cannot be read
	pruned  bool         // there are leaf hashes only

	// Of a full bundle: the tile over it.
	root    chain.Hash
	tile    []byte
	tileErr error

	hasher *chain.Hasher
	ready  chan struct{} // holds one token once the above is there
}

func newBundle() *bundle {
	return &bundle{links: make([]chain.Link, 0, chain.TileWidth), hasher: chain.NewHasher(), ready: make(chan struct{}, 1)}
}

// prepare reads and hashes the bundle at a place, takes its entries apart, and holds the tile over them against the stored one.
func (b *bundle) prepare(ctx context.Context, c *check, place chain.TilePlace) {
	b.place, b.opening, b.links, b.leaves, b.rest, b.tileErr = place, nil, b.links[:0], b.leaves[:0], 0, nil
	if b.pruned = c.isPruned(place); b.pruned {
		b.prepareHashes(ctx, c)
		return
	}
	if b.content, b.err = c.from.Read(ctx, place.EntriesPath(), b.content); b.err != nil {
		return
	}
	rest := b.content
	for range place.Width {
		entry, behind, err := chain.CutBundled(rest)
		if err != nil {
			return // the place where it ends tells
		}
		leaf := b.hasher.Leaf(entry)
		b.links = b.links[:len(b.links)+1]
		b.links[len(b.links)-1].Read(entry, leaf)
		b.leaves = append(b.leaves, leaf[:]...)
		if place.Index == 0 && len(b.links) == 1 {
			b.opening = entry
		}
		rest = behind
	}
	b.rest = len(rest)
	if place.Width < chain.TileWidth {
		return
	}
	if b.root, b.err = chain.TileRoot(b.leaves); b.err == nil {
		b.tile, b.tileErr = c.tile(ctx, place, b.leaves, b.tile)
	}
}

// prepareHashes reads what is left of a bundle that was pruned.
func (b *bundle) prepareHashes(ctx context.Context, c *check) {
	if b.content, b.err = c.from.Read(ctx, b.place.Path(), b.content); b.err != nil {
		return
	}
	b.leaves = append(b.leaves, b.content...)
	if len(b.leaves) != chain.TileBytes {
		b.err = c.bad(b.place.Index*chain.TileWidth, "%s has %d bytes, and its entries were pruned", b.place.Path(), len(b.leaves))
		return
	}
	b.root, b.err = chain.TileRoot(b.leaves)
}

// entries checks the log's entries in order; bundles are prepared ahead.
func (c *check) entries(ctx context.Context, size uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	free, queue := make(chan *bundle, readAhead), make(chan *bundle, readAhead)
	for range readAhead {
		free <- newBundle()
	}
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { // ends with the log or ctx
		for first := uint64(0); first < size; first += chain.TileWidth {
			var b *bundle
			select {
			case b = <-free:
			case <-ctx.Done():
				return
			}
			queue <- b        // has room for all of them
			group.Go(func() { // ends with the files or ctx
				b.prepare(ctx, c, placeAt(first, size))
				b.ready <- struct{}{}
			})
		}
	})
	for first := uint64(0); first < size; first += chain.TileWidth {
		b, err := next(ctx, queue)
		if err != nil {
			return err
		}
		switch {
		case errors.Is(b.err, fs.ErrNotExist):
			return c.bad(first, "the entries from here on are missing, but the checkpoint has %d", size)
		case b.err != nil:
			return b.err
		}
		if err := c.bundle(ctx, b); err != nil {
			return errors.Join(err, c.catchUp(b))
		}
		free <- b // as above
	}
	return nil
}

// next returns the next bundle once it is prepared.
func next(ctx context.Context, queue <-chan *bundle) (*bundle, error) {
	var b *bundle
	select {
	case b = <-queue:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case <-b.ready:
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// placeAt is the bundle that begins with an entry.
func placeAt(first, size uint64) chain.TilePlace {
	return chain.TilePlace{Index: first / chain.TileWidth, Width: int(min(chain.TileWidth, size-first))}
}

// bundle checks what needs the entries before.
func (c *check) bundle(ctx context.Context, b *bundle) error {
	grow := func(full chain.Tile) error {
		if full.Level == 0 {
			return b.tileErr
		}
		_, err := c.tile(ctx, chain.TilePlace{Level: full.Level, Index: full.Index, Width: chain.TileWidth}, full.Hashes, nil)
		return err
	}
	first := b.place.Index * chain.TileWidth
	// A checkpoint of a part of the bundle wants a tree that ends there.
	whole := len(b.leaves) == chain.TileBytes && (len(c.anchors) == 0 || c.anchors[0].Size >= first+chain.TileWidth)
	for i := range len(b.leaves) / chain.HashBytes {
		if !b.pruned {
			if err := c.verifier.Follow(&b.links[i]); err != nil {
				return err
			}
		}
		if i == 0 && b.opening != nil {
			if err := c.opening(b.opening); err != nil {
				return err
			}
		}
		if whole {
			continue
		}
		if err := c.tree.Append(leafAt(b.leaves, i), grow); err != nil {
			return err
		}
		if err := c.anchored(); err != nil {
			return err
		}
	}
	if whole {
		if err := c.tree.AppendTile(b.leaves, b.root, grow); err != nil {
			return err
		}
		if err := c.anchored(); err != nil {
			return err
		}
	}
	c.checked(len(b.leaves) / chain.HashBytes)
	if b.pruned {
		return c.skip(first + chain.TileWidth)
	}
	switch {
	case len(b.links) < b.place.Width:
		return c.bad(c.verifier.Head().Size, "missing in its bundle")
	case b.rest > 0:
		return c.bad(c.verifier.Head().Size, "%d bytes behind the entries of a bundle", b.rest)
	}
	return nil
}

// skip goes on behind what was pruned, once the tree has all leaves of it.
func (c *check) skip(size uint64) error {
	if size != c.pruned.Behind {
		return nil
	}
	if c.tree.Root() != c.pruned.Root {
		return c.bad(chain.PrunedFrom, "the leaf hashes that remain of the pruned entries do not make the root of the prune record")
	}
	return c.verifier.Skip(c.pruned)
}

// catchUp grows the tree, behind a fault, to what the verifier has accepted of a bundle: the report says both.
func (c *check) catchUp(b *bundle) error {
	first := b.place.Index * chain.TileWidth
	for at := c.tree.Size(); at < c.verifier.Head().Size; at++ {
		if err := c.tree.Append(leafAt(b.leaves, int(at-first)), func(chain.Tile) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func leafAt(leaves []byte, i int) chain.Hash {
	return chain.Hash(leaves[i*chain.HashBytes:][:chain.HashBytes])
}

// anchored holds the tree against the checkpoints of its size.
func (c *check) anchored() error {
	size := c.tree.Size()
	for ; len(c.anchors) > 0 && c.anchors[0].Size == size; c.anchors = c.anchors[1:] {
		if c.anchors[0].Root != c.tree.Root() {
			return c.bad(size-1, "a signed checkpoint of %d entries has another root over the entries up to here", size)
		}
	}
	return nil
}

// checked reports progress now and then.
func (c *check) checked(entries int) {
	if c.pending += uint64(entries); c.pending >= progressStep && c.progress != nil {
		c.progress(c.pending)
		c.pending = 0
	}
}

// opening checks that the log says that it is of the deployment that signs it.
func (c *check) opening(entry []byte) error {
	open, err := chain.ParseOpening(entry)
	if err != nil {
		return c.bad(0, "%v", err)
	}
	if open.Deployment != c.deployment {
		return c.bad(0, "the log belongs to another deployment than its checkpoint")
	}
	return nil
}

// partialTiles checks the tiles at the right edge.
func (c *check) partialTiles(ctx context.Context, size uint64) error {
	for _, place := range chain.PartialTiles(size) {
		if _, err := c.tile(ctx, place, c.tree.Partial(place.Level), nil); err != nil {
			return err
		}
	}
	return nil
}

// tile holds a tile against the hashes that follow from the entries. It returns what it has read, for the next call.
func (c *check) tile(ctx context.Context, place chain.TilePlace, hashes, buf []byte) ([]byte, error) {
	content, err := c.from.Read(ctx, place.Path(), buf)
	first := place.Index << (chain.TileHeight * (place.Level + 1)) // the first entry below it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, c.bad(first, "%s is missing", place.Path())
	case err != nil:
		return nil, err
	case !bytes.Equal(content, hashes):
		return nil, c.bad(first, "%s is not made of the entries", place.Path())
	}
	return content, nil
}

func (c *check) bad(seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: c.log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
