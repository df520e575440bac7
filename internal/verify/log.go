package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/report"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/walk"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// progressStep is how many entries pass between two reports of progress.
const progressStep = 1 << 15

// logCheck is the check of one log.
type logCheck struct {
	known    *knowledge
	log      string
	verifier *chain.Verifier
	tree     *chain.Tree
	pruned   *chain.Pruned // nil: nothing was
	covered  uint64        // entries that the vault's checkpoint covers: tiles of these are there
	anchors  []anchor      // that are still ahead, smallest first
	grow     func(chain.Tile) error
	entry    chain.Entry
	replays  *replays
	notes    notes
	progress func(uint64)
	pending  uint64 // entries since the last report of progress
}

// checkLog reads a log from its first entry to its last, or to the first bad one: behind that nothing can be
// vouched for.
func checkLog(ctx context.Context, deps Deps, o Options, known *knowledge, log string) (LogReport, error) {
	c := &logCheck{
		known: known, log: log, verifier: chain.NewVerifier(log), tree: chain.NewTree(), covered: known.checkpoints[log].Size,
		replays: newReplays(rememberedRecords), progress: o.Progress,
	}
	tiles := deps.Store.NewTileChecker(log)
	c.grow = func(full chain.Tile) error {
		if end := (full.Index + 1) << (chain.TileHeight * (full.Level + 1)); end > c.covered {
			return nil // not vouched for yet
		}
		return tiles.Check(ctx, full)
	}
	c.anchors = slices.Clone(known.anchors[log])
	slices.SortStableFunc(c.anchors, func(a, b anchor) int { return cmp.Compare(a.size, b.size) })
	for len(c.anchors) > 0 && c.anchors[0].size == 0 {
		c.anchors = c.anchors[1:] // says nothing
	}
	err := c.walk(ctx, deps, o)
	if c.progress != nil {
		c.progress(c.pending)
	}
	if err == nil {
		err = c.end(o.Keys)
	}
	head := c.verifier.Head()
	answer := LogReport{Log: log, Size: head.Size, Notes: c.notes.list, NotesLeftOut: c.notes.leftOut}
	if c.pruned != nil && head.Size >= c.pruned.Behind {
		answer.Pruned = &report.Gap{From: chain.PrunedFrom, Behind: c.pruned.Behind}
	}
	if head.Size > 0 {
		answer.Head, answer.Root = head.Leaf.String(), c.tree.Root().String()
	}
	var fault *chain.Fault
	if errors.As(err, &fault) {
		answer.FirstBad = &Bad{Seq: fault.Seq, Reason: fault.Reason}
		return answer, nil
	}
	if err != nil {
		return LogReport{}, fmt.Errorf("read %s: %w", log, err)
	}
	return answer, nil
}

// entriesPerQuery bounds the time of one query: a long log is read in many.
const entriesPerQuery = 2_000_000

// walk reads the log.
func (c *logCheck) walk(ctx context.Context, deps Deps, o Options) error {
	pruned, contents, err := c.known.prunes(c.log, o.Keys)
	if err != nil {
		return err
	}
	c.pruned = pruned
	w := walk.Walk{Scan: deps.Store.ScanLinks, Tiles: deps.Store.Tiles, Verifier: c.verifier, Each: c.check, Pruned: pruned, Tree: c.tree}
	if o.Deep {
		w.Scan = deepScan(deps.Store, contents)
	}
	for more := true; more; {
		if more, err = w.Step(ctx, entriesPerQuery); err != nil {
			return err
		}
	}
	return nil
}

// deepScan is a scan that looks at the columns of each entry once the entry was found good. Contents below the given seq may be gone.
func deepScan(from *store.Store, contents uint64) walk.Scan {
	columns := store.NewChecker()
	columns.NoContentBelow(contents)
	hasher, link := chain.NewHasher(), new(chain.Link)
	return func(ctx context.Context, log string, seq uint64, fn func(*store.Scanned) error) error {
		return from.ScanDeep(ctx, log, seq, func(row *store.Stored) error {
			link.Read(row.Entry, hasher.Leaf(row.Entry))
			if err := fn(&store.Scanned{Seq: row.Seq, Entry: row.Entry, Leaf: row.Leaf, Link: link}); err != nil {
				return err
			}
			return columns.Check(row)
		})
	}
}

// check is called with each good entry in order, and with a nil one where it was pruned.
func (c *logCheck) check(seq uint64, entry []byte, leaf chain.Hash) error {
	if seq == 0 {
		if err := c.checkOpening(entry); err != nil {
			return err
		}
	}
	if err := c.tree.Append(leaf, c.grow); err != nil {
		return err
	}
	for ; len(c.anchors) > 0 && c.anchors[0].size == seq+1; c.anchors = c.anchors[1:] {
		switch a := c.anchors[0]; {
		case a.leaf != nil && *a.leaf != leaf:
			return c.bad(seq, "the log was rewritten: %s has another entry here", a.by)
		case a.root != nil && *a.root != c.tree.Root():
			return c.bad(seq, "the log was rewritten: %s has another root over the entries up to here", a.by)
		}
	}
	if entry != nil && c.verifier.Kind() == chain.KindSystem {
		if err := c.checkSignature(seq, entry); err != nil {
			return err
		}
		if first, again := c.replays.see(&c.entry); again {
			c.notes.add(seq, "the signed record of seq %d again, sealed %v after it: replayed, or sent twice by its producer", first.seq, first.until(&c.entry))
		}
	}
	if c.pending++; c.pending == progressStep && c.progress != nil {
		c.progress(c.pending)
		c.pending = 0
	}
	return nil
}

// checkOpening holds the first entry against what the vault knows.
func (c *logCheck) checkOpening(entry []byte) error {
	open, err := chain.ParseOpening(entry)
	if err != nil {
		return c.bad(0, "%s", err)
	}
	if open.Deployment != c.known.deployment {
		return c.bad(0, "the log belongs to another deployment than the vault")
	}
	registered, isSuccessor := c.known.generations[c.log]
	p := open.Predecessor
	switch {
	case p == nil && !isSuccessor:
		return nil
	case p != nil && !isSuccessor:
		return c.bad(0, "the vault does not know that this log succeeds another")
	case p == nil:
		return c.bad(0, "it names no predecessor, though the vault has one")
	}
	if named := (vault.Generation{Predecessor: p.Log, PredecessorSize: p.Size, PredecessorHead: p.Head}); named.Predecessor != registered.Predecessor ||
		named.PredecessorSize != registered.PredecessorSize || named.PredecessorHead != registered.PredecessorHead {
		return c.bad(0, "it names another predecessor, or another checkpoint of it, than the vault")
	}
	return nil
}

// checkSignature checks the signature of a system record.
func (c *logCheck) checkSignature(seq uint64, entry []byte) error {
	if err := chain.ParseEntry(entry, &c.entry); err != nil {
		return c.bad(seq, "%s", err)
	}
	author, ok := c.known.authors[c.entry.Author]
	if !ok {
		return c.bad(seq, "system record of an author whom the vault does not know")
	}
	if !gdpr.VerifySystem(author.Key, c.entry.Event, c.entry.Signature) {
		return c.bad(seq, "the signature of the system record is not its author's")
	}
	return nil
}

// end is called behind the last entry.
func (c *logCheck) end(keys note.Verifiers) error {
	if len(c.anchors) == 0 {
		return c.checkNote(keys)
	}
	size := c.verifier.Head().Size
	return c.bad(size, "the log ends here, but %s has %d entries: it was truncated or rolled back", c.anchors[len(c.anchors)-1].by, c.anchors[len(c.anchors)-1].size)
}

// checkNote checks what is signed about the log: that the vault's checkpoint is signed, says what the vault says beside it, and is none from before another
// one that is known.
func (c *logCheck) checkNote(keys note.Verifiers) error {
	stored, found := c.known.checkpoints[c.log]
	if !found {
		return nil
	}
	if err := stored.Open(c.known.deployment, keys); err != nil {
		return c.bad(stored.Size-1, "the vault's checkpoint is not good: %v", err)
	}
	for _, a := range c.known.anchors[c.log] {
		if a.kept && a.size > stored.Size {
			return c.bad(stored.Size, "the vault's checkpoint has %d entries, but %s has %d: it was replaced by an older one", stored.Size, a.by, a.size)
		}
	}
	return nil
}

func (c *logCheck) bad(seq uint64, format string, args ...any) error {
	return &chain.Fault{Log: c.log, Seq: seq, Reason: fmt.Sprintf(format, args...)}
}
