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
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Reopening is an operator's decision to go on after a gap, a rewind or a rollback:
// the log ends, and a successor that names it begins.
type Reopening struct {
	Log    string // the log that ends; it must be its partition's current one
	Reason string // kept in the vault
	// From is where the successor begins; negative: where the log ended, or at the
	// first record that Kafka has if that place is gone or holds other records.
	From int64
}

// ReopenDeps are the systems that reopening needs.
type ReopenDeps struct {
	Kafka *kafkaio.Client
	Store *store.Store
	Vault *vault.Vault
}

// Reopen ends a log with a close entry and registers its successor, which ingest opens
// within seconds. A log that contradicts its checkpoint gets no close entry: nothing
// may be built on it, and the successor names the checkpoint instead.
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

// endLog closes next's predecessor, if it may be extended, and fills in what the
// successor names of it. It returns the head from which to go on.
func endLog(ctx context.Context, deps ReopenDeps, cfg ledger.Config, next *vault.Generation) (chain.Head, error) {
	writer, err := ledger.NewWriter(next.Predecessor, cfg, ledger.Deps[*store.Block]{Store: LedgerStore(deps.Store), Anchor: anchors(deps.Vault)})
	if err != nil {
		return chain.Head{}, err
	}
	defer writer.Close()
	for {
		err := writer.Load(ctx)
		if err == nil && writer.Head().Size > 0 && !writer.Head().Closed {
			err = closeLog(ctx, writer, next.Log)
		}
		var rollback *ledger.RollbackError
		var fault *chain.Fault
		switch {
		case errors.Is(err, ledger.ErrSuperseded): // ingest was still writing
			continue
		case errors.As(err, &rollback), errors.As(err, &fault):
			return contradicted(ctx, deps, next)
		case err != nil:
			return chain.Head{}, err
		}
		head := writer.Head()
		next.PredecessorSize, next.PredecessorHead = head.Size, head.Leaf
		return head, nil
	}
}

// contradicted names the checkpoint of a log that the store no longer holds. What
// the store has left tells where in Kafka to go on, unless that is damaged too.
func contradicted(ctx context.Context, deps ReopenDeps, next *vault.Generation) (chain.Head, error) {
	checkpoint, found, err := deps.Vault.Checkpoint(ctx, next.Predecessor)
	if err != nil {
		return chain.Head{}, fmt.Errorf("read checkpoint of %s: %w", next.Predecessor, err)
	}
	if found {
		next.PredecessorSize, next.PredecessorHead = checkpoint.Size, checkpoint.Head
	}
	head, err := deps.Store.Head(ctx, next.Predecessor)
	var fault *chain.Fault
	if errors.As(err, &fault) {
		return chain.EmptyHead(next.Predecessor), nil
	}
	return head, err
}

// closeLog stores the close entry.
func closeLog(ctx context.Context, writer *ledger.Writer[*store.Block], successor string) error {
	out := make(chan *batch, 1)
	asm := &assembler{sealer: &recordSealer{}, hasher: chain.NewHasher(), pool: newBlockPool(1), out: out, head: writer.Head()}
	control := &chain.Control{Op: chain.OpClose, NextEpoch: asm.head.NextEpoch, Successor: successor}
	if err := asm.control(ctx, control, time.Now()); err != nil {
		return err
	}
	b := <-out
	return writer.Extend(ctx, b.block, b.head)
}

// firstOffset is where the successor begins.
func firstOffset(ctx context.Context, deps ReopenDeps, topic string, number int, head chain.Head, from int64) (int64, error) {
	start, end, err := deps.Kafka.Offsets(ctx, topic, number)
	if err != nil {
		return 0, fmt.Errorf("read offsets of %s/%d: %w", topic, number, err)
	}
	if from >= 0 {
		if from < start || from > end {
			return 0, fmt.Errorf("offset %d of %s/%d: Kafka has %d to %d", from, topic, number, start, end)
		}
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
