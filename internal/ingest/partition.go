package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// landingTime is how long a batch that is on its way may take to land after its
// partition was taken away or the process was told to stop. Cutting it off earlier
// would cost nothing but the work: its records are still in Kafka.
const landingTime = 3 * time.Second

// partition seals one Kafka partition for as long as it is assigned to this process.
type partition struct {
	in         *Ingester
	topic      string
	number     int
	assigned   kafkaio.Assignment
	log        *slog.Logger
	generation vault.Generation // of the latest session
}

// run seals until ctx ends. A log that must not be extended is held, not given up: the
// partition waits for an operator while the others go on.
func (p *partition) run(ctx context.Context) error {
	return ignoreEnd(ctx, retry(ctx, func() error {
		for {
			err := p.session(ctx)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, ledger.ErrSuperseded):
				p.in.metrics.superseded.Inc()
				p.log.Warn("another writer extended the log, reloading", "error", err)
				continue
			case errors.Is(err, errReopened):
				p.log.Info("the log was reopened, going on with its successor")
				continue
			}
			if reason := stopReason(err); reason != "" {
				if err := p.hold(ctx, reason, err); err != nil {
					return err
				}
				continue
			}
			p.log.Error("partition failed, starting it again", "error", err)
			return err
		}
	}))
}

// ignoreEnd turns the end of ctx into success: it was asked for.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// session loads the head of the partition's log, opens the log if it is new, and
// seals on top of it until something ends that.
func (p *partition) session(ctx context.Context) error {
	generation, err := p.in.deps.Vault.CurrentLog(ctx, p.topic, p.number)
	if err != nil {
		return fmt.Errorf("find log of %s/%d: %w", p.topic, p.number, err)
	}
	p.generation = generation
	writer, err := ledger.NewWriter(generation.Log, p.in.cfg.Ledger, p.in.ledgerDeps())
	if err != nil {
		return err
	}
	defer writer.Close()
	if err := writer.Load(ctx); err != nil {
		return err
	}
	if writer.Head().Closed {
		return fmt.Errorf("%s: %w", generation.Log, ledger.ErrClosed)
	}
	sealer, err := newRecordSealer(p.in.sealerDeps(p.topic, p.number))
	if err != nil {
		return err
	}
	sealed := make(chan *batch)
	asm := &assembler{
		cfg: p.in.cfg, topic: p.topic, sealer: sealer, hasher: chain.NewHasher(),
		pool: p.in.pool, out: sealed, head: writer.Head(), now: time.Now,
	}
	opening, err := p.opening(ctx, writer.Head(), generation)
	if err != nil {
		return err
	}
	if opening == nil {
		if err := sameTopic(ctx, p.in.deps.Kafka, p.in.deps.Store, p.topic, p.number, writer.Head()); err != nil {
			return err
		}
	}
	// The next owner of the partition tells its lag; a value that stays would be a lie.
	defer p.in.metrics.lag.DeleteLabelValues(generation.Log)
	p.log.Info("sealing", "log", generation.Log, "entries", writer.Head().Size, "offset", writer.Head().Next)
	return p.pipeline(ctx, writer, asm, sealed, opening)
}

// pipeline runs fetching, sealing and storing side by side until one of them ends.
func (p *partition) pipeline(ctx context.Context, writer *ledger.Writer[*store.Block], asm *assembler, sealed chan *batch, opening *chain.Control) error {
	fetched := make(chan *kafkaio.Batch)
	from := asm.head.Next
	if opening != nil {
		from = opening.FirstOffset
	}
	group, groupCtx := errgroup.WithContext(ctx)
	// Each of these ends with groupCtx, which the first error or ctx ends.
	group.Go(func() error { return p.watchGeneration(groupCtx) })
	group.Go(func() error { return p.in.deps.Kafka.Follow(groupCtx, p.topic, p.number, from, fetched) })
	group.Go(func() error { return assemble(groupCtx, asm, opening, fetched) })
	group.Go(func() error { return p.extend(groupCtx, writer, sealed) })
	return group.Wait()
}

// assemble opens the log if it is new, feeds fetched records to the assembler and lets
// no batch linger.
func assemble(ctx context.Context, asm *assembler, opening *chain.Control, fetched <-chan *kafkaio.Batch) error {
	defer asm.drop()
	if opening != nil {
		if err := asm.control(ctx, opening, asm.now()); err != nil {
			return err
		}
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var linger <-chan time.Time
		if wait, waiting := asm.due(); waiting {
			timer.Reset(wait)
			linger = timer.C
		}
		select {
		case batch := <-fetched:
			err := asm.add(ctx, batch)
			batch.Release()
			if err != nil {
				return err
			}
		case <-linger:
			if err := asm.flush(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// extend stores the batches in order. A batch that is on its way when ctx ends is
// given a moment to land.
func (p *partition) extend(ctx context.Context, writer *ledger.Writer[*store.Block], sealed <-chan *batch) error {
	landing, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(landingTime, func() { cancel(context.Cause(ctx)) }) // harmless when it comes after the end
	})
	defer stop()
	for {
		select {
		case b := <-sealed:
			start := time.Now()
			err := writer.Extend(landing, b.block, b.head)
			p.in.pool.give(b.block)
			if err != nil {
				return err
			}
			p.stored(b, time.Since(start))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// stored counts what is in the log for good.
func (p *partition) stored(b *batch, took time.Duration) {
	m := p.in.metrics
	for kind, n := range b.kinds {
		if n > 0 {
			m.entries.WithLabelValues(chain.Kind(kind).String()).Add(float64(n))
		}
	}
	m.batchSeconds.Observe(took.Seconds())
	m.lag.WithLabelValues(b.head.Log).Set(float64(b.behind))
	p.assigned.Commit(b.head.Next)
}
