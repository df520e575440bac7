package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/walk"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Reopening is an operator's decision to go on after a gap, a rewind or a rollback:
// the log ends, and a successor that names it begins.
type Reopening struct {
	Log    string // the log that ends; it must be its partition's current one
	Reason string // kept in the vault
	// From is where the successor begins; negative: behind the last record up to which
	// the log is whole, or at the first record that Kafka has if that place is gone or
	// holds other records.
	From int64
}

// ReopenDeps are the systems that reopening needs.
type ReopenDeps struct {
	Kafka *kafkaio.Client
	Store *store.Store
	Vault *vault.Vault
}

// Reopen ends a log with a close entry and registers its successor, to which ingest
// turns within seconds and which it opens with the next record.
//
// Interrupted, it is run again: a log that is closed without a successor is stopped,
// and finishing is all that is left to do.
func Reopen(ctx context.Context, deps ReopenDeps, cfg ledger.Config, r Reopening) (vault.Generation, error) {
	topic, number, generation, err := chain.ParseLog(r.Log)
	if err != nil {
		return vault.Generation{}, err
	}
	current, err := deps.Vault.CurrentLog(ctx, topic, number)
	if err != nil {
		return vault.Generation{}, fmt.Errorf("find log of %s/%d: %w", topic, number, err)
	}
	if current.Generation != generation {
		return vault.Generation{}, fmt.Errorf("%s was reopened already: the current log is %s", r.Log, current.Log)
	}
	next := vault.Generation{
		Topic: topic, Partition: number, Generation: generation + 1, Log: chain.LogName(topic, number, generation+1),
		Predecessor: r.Log, Reason: r.Reason, At: time.Now().UTC(),
	}
	// Nothing takes the close entry back: a partition or an offset that Kafka does not have must be found before it.
	if _, _, err := offsets(ctx, deps, topic, number, r.From); err != nil {
		return vault.Generation{}, err
	}
	head, err := endLog(ctx, deps, cfg, &next)
	if err != nil {
		return vault.Generation{}, err
	}
	next.FirstOffset, err = firstOffset(ctx, deps, topic, number, head, r.From)
	if err != nil {
		return vault.Generation{}, err
	}
	if err := deps.Vault.Reopen(ctx, generation, next); err != nil {
		return vault.Generation{}, fmt.Errorf("register %s: %w", next.Log, err)
	}
	return next, nil
}

// endLog closes next's predecessor and fills in what the successor names of it. It
// returns the head from which to go on.
//
// The close entry is what stops every writer of the old log, so that no record is
// sealed in both. A log that contradicts its checkpoint gets one too, on what is left
// of it; the successor then names the checkpoint, and verify finds the contradiction
// as before. Only a log whose last entry is damaged cannot have one.
func endLog(ctx context.Context, deps ReopenDeps, cfg ledger.Config, next *vault.Generation) (chain.Head, error) {
	head, err := closeAs(ctx, deps, cfg, next, anchors(deps.Vault))
	var rollback *ledger.RollbackError
	var fault *chain.Fault
	switch {
	case errors.As(err, &rollback):
		next.PredecessorSize, next.PredecessorHead = rollback.Anchor.Size, rollback.Anchor.Leaf
		if _, err := closeAs(ctx, deps, cfg, next, nothingAnchored); err != nil {
			return chain.Head{}, err
		}
		return lastWhole(ctx, deps, next.Predecessor)
	case errors.As(err, &fault):
		checkpoint, _, err := deps.Vault.Checkpoint(ctx, next.Predecessor)
		if err != nil {
			return chain.Head{}, fmt.Errorf("read checkpoint of %s: %w", next.Predecessor, err)
		}
		next.PredecessorSize, next.PredecessorHead = checkpoint.Size, checkpoint.Head
		return lastWhole(ctx, deps, next.Predecessor)
	case err != nil:
		return chain.Head{}, err
	}
	next.PredecessorSize, next.PredecessorHead = head.Size, head.Leaf
	return head, nil
}

// lastWhole returns the head up to which a log verifies from its first entry on. What
// stands behind it is sealed again, in the successor, as far as Kafka still has it.
func lastWhole(ctx context.Context, deps ReopenDeps, log string) (chain.Head, error) {
	stored, _, err := deps.Vault.LatestPrunes(ctx, log)
	if err != nil {
		return chain.Head{}, fmt.Errorf("read what was pruned of %s: %w", log, err)
	}
	tree := chain.NewTree()
	w := walk.Walk{
		Scan: deps.Store.ScanLinks, Tiles: deps.Store.Tiles, Verifier: chain.NewVerifier(log), Tree: tree,
		Each: func(_ uint64, _ []byte, leaf chain.Hash) error { return tree.Append(leaf, noTile) },
	}
	if stored != nil {
		pruned, err := chain.ReadPruned([]byte(stored.Note))
		if err != nil {
			return chain.Head{}, fmt.Errorf("read what was pruned of %s: %w", log, err)
		}
		w.Pruned = &pruned
	}
	for {
		more, err := w.Step(ctx, wholeStep)
		var fault *chain.Fault
		switch {
		case err == nil && !more || errors.As(err, &fault):
			return w.Verifier.Head(), nil
		case err != nil:
			return chain.Head{}, fmt.Errorf("look for the last good entry of %s: %w", log, err)
		}
	}
}

func noTile(chain.Tile) error { return nil }

// wholeStep is how many entries lastWhole reads in a query.
const wholeStep = 1_000_000

func nothingAnchored(context.Context, string) (ledger.Anchor, bool, error) {
	return ledger.Anchor{}, false, nil
}

// closeAs closes next's predecessor if it is open and returns its head.
func closeAs(ctx context.Context, deps ReopenDeps, cfg ledger.Config, next *vault.Generation, anchor ledger.AnchorFunc) (chain.Head, error) {
	writer, err := ledger.NewWriter(next.Predecessor, cfg, ledger.Deps[*store.Block]{Store: LedgerStore(deps.Store), Anchor: anchor})
	if err != nil {
		return chain.Head{}, err
	}
	defer writer.Close()
	for {
		if err := writer.Load(ctx); err != nil {
			return chain.Head{}, err
		}
		if writer.Head().Closed {
			return writer.Head(), nil
		}
		controls := []*chain.Control{{Op: chain.OpClose, NextEpoch: writer.Head().NextEpoch, Successor: next.Log}}
		if writer.Head().Size == 0 {
			// Nothing was ever sealed, or everything is gone. Its writers would begin with
			// the same opening, of which the store takes one.
			month := chain.EpochOf(time.Now())
			controls[0].NextEpoch = month
			controls = append([]*chain.Control{{Op: chain.OpOpen, NextEpoch: month, Deployment: deps.Vault.Deployment(),
				Topic: next.Topic, Partition: next.Partition}}, controls...)
		}
		err := extendBy(ctx, writer, controls)
		if errors.Is(err, ledger.ErrSuperseded) { // ingest was still writing
			continue
		}
		return writer.Head(), err
	}
}

// extendBy stores control entries, each in an insert of its own.
func extendBy(ctx context.Context, writer *ledger.Writer[*store.Block], controls []*chain.Control) error {
	for _, control := range controls {
		out := make(chan *batch, 1)
		asm := &assembler{sealer: &recordSealer{}, hasher: chain.NewHasher(), pool: newBlockPool(1), out: out, head: writer.Head()}
		if err := asm.control(ctx, control, time.Now()); err != nil {
			return err
		}
		b := <-out
		if err := writer.Extend(ctx, b.block, b.head); err != nil {
			return err
		}
	}
	return nil
}

// offsets returns the ends of what Kafka has of a partition, between which from must be unless it is negative.
func offsets(ctx context.Context, deps ReopenDeps, topic string, number int, from int64) (start, end int64, err error) {
	if start, end, err = deps.Kafka.Offsets(ctx, topic, number); err != nil {
		return 0, 0, err // which names the partition
	}
	if from >= 0 && (from < start || from > end) {
		return 0, 0, fmt.Errorf("offset %d of %s/%d: Kafka has %d to %d", from, topic, number, start, end)
	}
	return start, end, nil
}

// firstOffset is where the successor begins.
func firstOffset(ctx context.Context, deps ReopenDeps, topic string, number int, head chain.Head, from int64) (int64, error) {
	start, end, err := offsets(ctx, deps, topic, number, from)
	if err != nil {
		return 0, err
	}
	if from >= 0 {
		return from, nil
	}
	if head.Size == 0 || head.Next < start || head.Next > end {
		return start, nil
	}
	switch err := sameTopic(ctx, deps.Kafka, deps.Store, topic, number, head); {
	case errors.Is(err, errRecreated):
		return start, nil
	case err != nil:
		return 0, err
	}
	return head.Next, nil
}
