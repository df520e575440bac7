package offline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

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
	Size     uint64       // entries that are good, from the first on
	Root     string       // of the tree over them, hex; empty: there are none
	Head     string       // leaf hash of the last of them, hex
	FirstBad *chain.Fault // nil: the log is what its checkpoint says
}

const (
	// readAhead is how many bundles are read at a time: enough to keep a checker busy over a network.
	readAhead = 8
	// progressStep is how many entries pass between two reports of progress.
	progressStep = 1 << 15
)

// Check reads a whole log: the checkpoint and its signature, every entry and link, every tile, and whether they make the signed root and that of each pinned
// checkpoint. A bad log is not an error but the answer; an error means that it could not be found out.
func Check(ctx context.Context, from Source, log string, o Options) (Report, error) {
	signed, err := from.Read(ctx, "checkpoint")
	if err != nil {
		return Report{}, fmt.Errorf("read the checkpoint of %s: %w", log, err)
	}
	c := &check{log: log, from: from, verifier: chain.NewVerifier(log), tree: chain.NewTree(), progress: o.Progress}
	err = c.run(ctx, signed, o)
	if c.progress != nil {
		c.progress(c.pending)
	}
	head := c.verifier.Head()
	report := Report{Log: log, Size: head.Size}
	if head.Size > 0 {
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

// bundle is a file of entries on its way, hashed.
type bundle struct {
	entries [][]byte
	leaves  []chain.Hash
	rest    int // bytes behind the entries
	err     error
}

// read reads and hashes a bundle. Hashing is most of the work, and needs no order.
func (c *check) read(ctx context.Context, place chain.TilePlace) bundle {
	content, err := c.from.Read(ctx, place.EntriesPath())
	if err != nil {
		return bundle{err: err}
	}
	b := bundle{entries: make([][]byte, 0, place.Width), leaves: make([]chain.Hash, 0, place.Width)}
	hasher := chain.NewHasher()
	for range place.Width {
		entry, rest, err := chain.CutBundled(content)
		if err != nil {
			return b // the place where it ends tells
		}
		b.entries, b.leaves, content = append(b.entries, entry), append(b.leaves, hasher.Leaf(entry)), rest
	}
	b.rest = len(content)
	return b
}

// entries checks the log's entries in order; files are read ahead.
func (c *check) entries(ctx context.Context, size uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan chan bundle, readAhead)
	go func() { // ends with the log or ctx
		defer close(queue)
		for first := uint64(0); first < size; first += chain.TileWidth {
			one := make(chan bundle, 1)
			select {
			case queue <- one:
			case <-ctx.Done():
				return
			}
			go func() { one <- c.read(ctx, placeAt(first, size)) }() // ends with the file or ctx
		}
	}()
	grow := func(full chain.Tile) error {
		return c.tile(ctx, chain.TilePlace{Level: full.Level, Index: full.Index, Width: chain.TileWidth}, full.Hashes)
	}
	for first := uint64(0); first < size; first += chain.TileWidth {
		var b bundle
		select {
		case one := <-queue:
			if one == nil {
				return context.Cause(ctx)
			}
			b = <-one
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case errors.Is(b.err, fs.ErrNotExist):
			return c.bad(first, "the entries from here on are missing, but the checkpoint has %d", size)
		case b.err != nil:
			return b.err
		}
		if err := c.bundle(&b, placeAt(first, size).Width, grow); err != nil {
			return err
		}
	}
	return nil
}

// placeAt is the bundle that begins with an entry.
func placeAt(first, size uint64) chain.TilePlace {
	return chain.TilePlace{Index: first / chain.TileWidth, Width: int(min(chain.TileWidth, size-first))}
}

func (c *check) bundle(b *bundle, width int, grow func(chain.Tile) error) error {
	for i, entry := range b.entries {
		seq, leaf := c.verifier.Head().Size, b.leaves[i]
		if err := c.verifier.Next(entry, leaf); err != nil {
			return err
		}
		if seq == 0 {
			if err := c.opening(entry); err != nil {
				return err
			}
		}
		if err := c.tree.Append(leaf, grow); err != nil {
			return err
		}
		for ; len(c.anchors) > 0 && c.anchors[0].Size == seq+1; c.anchors = c.anchors[1:] {
			if c.anchors[0].Root != c.tree.Root() {
				return c.bad(seq, "a signed checkpoint of %d entries has another root over the entries up to here", seq+1)
			}
		}
		if c.pending++; c.pending == progressStep && c.progress != nil {
			c.progress(c.pending)
			c.pending = 0
		}
	}
	switch {
	case len(b.entries) < width:
		return c.bad(c.verifier.Head().Size, "missing in its bundle")
	case b.rest > 0:
		return c.bad(c.verifier.Head().Size, "%d bytes behind the entries of a bundle", b.rest)
	}
	return nil
}

// opening checks that the log says that it is of the deployment that signs it.
func (c *check) opening(entry []byte) error {
	var header chain.Header
	body, err := chain.ParseHeader(entry, &header)
	if err != nil {
		return c.bad(0, "%v", err)
	}
	open, err := chain.ParseControl(body)
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
		if err := c.tile(ctx, place, c.tree.Partial(place.Level)); err != nil {
			return err
		}
	}
	return nil
}

// tile holds a tile against the hashes that follow from the entries.
func (c *check) tile(ctx context.Context, place chain.TilePlace, hashes []byte) error {
	content, err := c.from.Read(ctx, place.Path())
	first := place.Index << (chain.TileHeight * (place.Level + 1)) // the first entry below it
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.bad(first, "%s is missing", place.Path())
	case err != nil:
		return err
	case !bytes.Equal(content, hashes):
		return c.bad(first, "%s is not made of the entries", place.Path())
	}
	return nil
}

func (c *check) bad(seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: c.log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
