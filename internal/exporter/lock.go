package exporter

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// lockRecords is how many records at the end of a partition of the topic of checkpoints are read at least, if there are as many: 30 MB, a second or two.
	lockRecords = 100_000
	// maxLockRecords is how many are read at most.
	maxLockRecords = 5_000_000
	// lockWithin bounds one attempt to read a partition.
	lockWithin = 5 * time.Minute
)

// lock is what was published of each log before this process began. The vault's compare-and-swap keeps a log from being vouched for twice, as long as the vault
// does not go back. One that was restored from a backup has forgotten checkpoints that others may hold; to sign on top of it could be to sign another history of
// the same log. What was published tells: a checkpoint reaches the topic after the vault has it, so the vault is never behind, unless it was put back.
type lock struct {
	ready chan struct{} // closed when the topic was read, or need not be

	// highest is what was published last of each log, as far as the vault did not say the same when the topic was read. It does not change once ready is
	// closed.
	highest map[string]lockedPoint
}

// lockedPoint is a checkpoint that was published and is ours.
type lockedPoint struct {
	chain.Checkpoint
	note string
	fork bool // vault or topic have another one of the same size
}

func newLock() *lock { return &lock{ready: make(chan struct{})} }

// await waits until it is known what was published.
func (l *lock) await(ctx context.Context) error {
	select {
	case <-l.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isReady says whether await would return at once.
func (l *lock) isReady() bool {
	select {
	case <-l.ready:
		return true
	default:
		return false
	}
}

// check holds a log's checkpoint, as it stands in the vault now, against what was published: a *chain.Fault if the vault is behind it, or has another one. Another
// exporter may have been ahead of the vault's state that the topic was compared with; by now the vault has what it published.
func (l *lock) check(log string, checkpoint vault.Checkpoint) error {
	published, ok := l.highest[log]
	switch {
	case !ok:
		return nil
	case published.Size > checkpoint.Size:
		return fault(log, checkpoint.Size, "the vault went back: its checkpoint has %d entries, and one of %d was published", checkpoint.Size, published.Size)
	case published.fork || published.Size == checkpoint.Size && published.Root != checkpoint.Root:
		return fault(log, published.Size, "two checkpoints of %d entries: the vault's, at %d entries now, does not continue the one that was published", published.Size, checkpoint.Size)
	}
	return nil
}

// keepPublished has a published checkpoint that the vault has forgotten published again and again, so that the topic's retention does not forget it too: the next
// process that starts has to see it.
func (e *Exporter) keepPublished(log string) {
	published := e.lock.highest[log]
	e.published.know(vault.Checkpoint{Log: log, Size: published.Size, Root: published.Root, Note: published.note})
}

// readLock reads the topic of checkpoints, as often as that takes, until ctx ends. Nothing is signed before: a Kafka that is away delays checkpoints, and there
// is little to vouch for then, because no records come in either.
func (e *Exporter) readLock(ctx context.Context) error {
	if !e.cfg.CheckPublished {
		e.log.Warn("what was published is not compared with the vault: one that was restored from a backup is not noticed")
		close(e.lock.ready)
		return nil
	}
	e.metrics.lockWaiting.Set(1)
	wait := newBackoff()
	for {
		began := time.Now()
		reader := lockReader{exporter: e, known: e.keys.Load().known}
		err := reader.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			e.lock.highest = reader.highest
			e.metrics.foreign.Add(float64(reader.foreign))
			e.metrics.lockWaiting.Set(0)
			e.log.Info("published checkpoints were compared with the vault's", "records", reader.records, "foreign", reader.foreign, "took", time.Since(began))
			close(e.lock.ready)
			return nil
		}
		e.failing("no checkpoint is signed until the topic of checkpoints and the vault were read, trying again", err, "topic", e.cfg.CheckpointTopic)
		if sleep(ctx, wait.NextBackOff()) != nil {
			return nil
		}
	}
}

// lockReader makes one attempt.
type lockReader struct {
	exporter *Exporter
	known    note.Verifiers
	base     map[string]vault.Checkpoint // the vault's, before the topic was read
	highest  map[string]lockedPoint
	records  int
	foreign  int // records that are no checkpoint of ours
}

// read reads the vault and then the topic. All logs that an exporter follows are published again together, so the latest checkpoint of each is among the last
// records, however long ago that was.
func (r *lockReader) read(ctx context.Context) error {
	e := r.exporter
	checkpoints, err := e.deps.Vault.Checkpoints(ctx)
	if err != nil {
		return err
	}
	r.base, r.highest = map[string]vault.Checkpoint{}, map[string]lockedPoint{}
	for _, c := range checkpoints {
		r.base[c.Log] = c
	}
	partitions, err := e.deps.Kafka.Partitions(ctx, e.cfg.CheckpointTopic)
	if err != nil {
		return err
	}
	// Twice what all logs can publish between two rounds, by two exporters.
	round := int64(e.cfg.RepublishEvery/e.cfg.PollEvery) + 1
	limit := min(max(4*round*int64(len(checkpoints)), lockRecords), maxLockRecords)
	for partition := range partitions {
		if err := r.readPartition(ctx, partition, limit); err != nil {
			return err
		}
	}
	return nil
}

// readPartition looks at the last limit records that a partition has now.
func (r *lockReader) readPartition(ctx context.Context, partition int, limit int64) error {
	e := r.exporter
	ctx, cancel := context.WithTimeout(ctx, lockWithin)
	defer cancel()
	start, end, err := e.deps.Kafka.Offsets(ctx, e.cfg.CheckpointTopic, partition)
	if err != nil || start == end {
		return err
	}
	batches, followed := make(chan *kafkaio.Batch), make(chan error, 1)
	go func() { // ends with ctx, or when the partition cannot be read
		followed <- e.deps.Kafka.Follow(ctx, e.cfg.CheckpointTopic, partition, max(start, end-limit), batches)
	}()
	for {
		select {
		case batch := <-batches:
			for i := range batch.Records {
				r.look(batch.Records[i].Value)
			}
			next := batch.Next
			batch.Release()
			if next >= end {
				cancel()
				return <-followed // nil: it was told to end
			}
		case err := <-followed:
			if err == nil {
				err = fmt.Errorf("read partition %d of %s: %w", partition, e.cfg.CheckpointTopic, context.Cause(ctx))
			}
			return err
		}
	}
}

// look keeps a checkpoint that says more than the vault, or something else. Most say less, and their signatures need not be checked.
func (r *lockReader) look(signed []byte) {
	r.records++
	point, err := chain.ReadCheckpoint(signed)
	if err != nil || point.Deployment != r.exporter.deps.Vault.Deployment() {
		r.foreign++
		return
	}
	base, highest := r.base[point.Log], r.highest[point.Log]
	ahead := point.Size > max(base.Size, highest.Size)
	fork := point.Size == base.Size && point.Root != base.Root || point.Size == highest.Size && point.Root != highest.Root
	if !ahead && !fork {
		return
	}
	if _, _, err := chain.OpenCheckpoint(signed, r.known); err != nil {
		r.foreign++
		return
	}
	if fork && point.Size < highest.Size {
		point, signed = highest.Checkpoint, []byte(highest.note) // the larger one is as good a witness
	}
	r.highest[point.Log] = lockedPoint{Checkpoint: point, note: string(signed), fork: fork || highest.fork}
}
