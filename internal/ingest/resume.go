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
	"github.com/agentaudit/agentaudit/pkg/events"
)

// errRecreated says that the record that the head was made from is another one now:
// the topic was deleted and made anew, and its offsets happen to fit.
var errRecreated = errors.New("the topic holds another record where the log's last one was: it was recreated; run agentaudit log reopen")

// opening is the first entry that a log without entries needs; nil for any other.
func (p *partition) opening(ctx context.Context, head chain.Head, generation vault.Generation) (*chain.Control, error) {
	if head.Size > 0 {
		return nil, nil
	}
	first := generation.FirstOffset
	if generation.Generation == 0 {
		start, _, err := p.in.deps.Kafka.Offsets(ctx, p.topic, p.number)
		if err != nil {
			return nil, fmt.Errorf("read offsets of %s/%d: %w", p.topic, p.number, err)
		}
		first = start
	}
	control := &chain.Control{
		Op: chain.OpOpen, NextEpoch: chain.EpochOf(time.Now()), Deployment: p.in.deps.Vault.Deployment(),
		Topic: p.topic, Partition: p.number, FirstOffset: first,
	}
	if generation.Generation > 0 {
		control.Predecessor = &chain.Predecessor{Log: generation.Predecessor, Size: generation.PredecessorSize, Head: generation.PredecessorHead}
	}
	return control, nil
}

// sameTopic reads the record that the log's last entry was made from once more and
// compares it with what the entry says. Kafka's clients see no topic id, so this is
// how a recreated topic is told from the one that the log belongs to. A record that
// Kafka no longer has proves nothing either way.
func sameTopic(ctx context.Context, kafka *kafkaio.Client, entries *store.Store, topic string, number int, head chain.Head) error {
	head, err := lastRecord(ctx, entries, head)
	if err != nil || head.LastOffset == chain.NoOffset {
		return err
	}
	rec, found, err := kafka.RecordAt(ctx, topic, number, head.LastOffset)
	switch {
	case err != nil:
		return fmt.Errorf("read record %d of %s/%d: %w", head.LastOffset, topic, number, err)
	case !found:
		return nil
	}
	same := chain.ClampMillis(rec.TimeMillis) == head.LastTimeMillis
	if same && head.LastEventID != ([16]byte{}) {
		var ev events.Event
		same = events.NewParser().Parse(rec.Value, &ev) == nil && ev.ID() == head.LastEventID
	}
	if !same {
		return fmt.Errorf("%s at offset %d: %w", head.Log, head.LastOffset, errRecreated)
	}
	return nil
}

// lastRecord goes back from control entries at the end of a log to the entry that
// came from a record. The head it returns has no LastOffset if there is none.
func lastRecord(ctx context.Context, entries *store.Store, head chain.Head) (chain.Head, error) {
	for head.LastOffset == chain.NoOffset && head.Size > 1 {
		entry, err := entries.EntryAt(ctx, head.Log, head.Size-2)
		if err != nil {
			return chain.Head{}, fmt.Errorf("read entry %d of %s: %w", head.Size-2, head.Log, err)
		}
		if head, err = chain.HeadOf(entry); err != nil {
			return chain.Head{}, err
		}
	}
	return head, nil
}

// errReopened ends a session whose log was given a successor.
var errReopened = errors.New("the log has a successor")

// watchGeneration ends the session with errReopened when an operator has reopened the
// log. The close entry stops every writer of a log that can have one; this stops
// those of a log whose last entry is damaged.
func (p *partition) watchGeneration(ctx context.Context) error {
	tick := time.NewTicker(generationPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		// A vault that does not answer stops the sealing anyway.
		now, err := p.in.deps.Vault.CurrentLog(ctx, p.topic, p.number)
		if err == nil && now.Generation != p.generation.Generation {
			return errReopened
		}
	}
}

// stopReason names why a log must not be extended until an operator has looked at
// it; "" for everything that passes by itself. The names are metric labels.
func stopReason(err error) string {
	var rollback *ledger.RollbackError
	var fault *chain.Fault
	switch {
	case errors.Is(err, kafkaio.ErrGap):
		return "gap"
	case errors.Is(err, kafkaio.ErrRewind):
		return "rewind"
	case errors.Is(err, kafkaio.ErrCorrupt):
		return "corrupt"
	case errors.Is(err, errRecreated):
		return "recreated"
	case errors.Is(err, errVault), errors.Is(err, vault.ErrForged):
		return "vault"
	case errors.Is(err, ledger.ErrClosed):
		return "closed"
	case errors.As(err, &rollback):
		return "rollback"
	case errors.As(err, &fault):
		return "damaged"
	}
	return ""
}

// generationPoll is how often a partition looks whether its log has a successor.
const generationPoll = 2 * time.Second

// repairPoll is how often a partition tries again when an operator may have mended
// what stopped it without reopening the log: a corrupt batch, a damaged vault row.
const repairPoll = 30 * time.Second

// hold keeps the partition stopped, loudly, until an operator has given it a new log
// or ctx ends.
func (p *partition) hold(ctx context.Context, reason string, cause error) error {
	p.log.Error("partition stopped, its records are not sealed", "reason", reason, "error", cause)
	gauge := p.in.metrics.stopped.WithLabelValues(fmt.Sprintf("%s/%d", p.topic, p.number), reason)
	gauge.Set(1)
	p.in.stops.add(p.topic, p.number, reason)
	defer func() {
		gauge.Set(0)
		p.in.stops.remove(p.topic, p.number)
	}()
	began := time.Now()
	tick := time.NewTicker(generationPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if (reason == "corrupt" || reason == "vault") && time.Since(began) > repairPoll {
			return nil
		}
		// An unreachable vault leaves the partition stopped, which is what it is anyway.
		now, err := p.in.deps.Vault.CurrentLog(ctx, p.topic, p.number)
		if err == nil && now.Generation != p.generation.Generation {
			return nil
		}
	}
}
