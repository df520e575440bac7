package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Deps are the systems that an Ingester joins. It closes none of them.
type Deps struct {
	Kafka   *kafkaio.Client
	Store   *store.Store
	Vault   *vault.Vault
	Cache   *vault.Cache // Ingester runs it
	Scanner *scan.Scanner
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Ingester seals the partitions that its consumer group assigns to it.
type Ingester struct {
	cfg     Config
	deps    Deps
	group   *kafkaio.Group
	pool    blockPool
	metrics *metrics
	stops   *stops
}

// New checks the configuration. It starts nothing.
func New(cfg Config, deps Deps) (*Ingester, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	group, err := deps.Kafka.NewGroup(kafkaio.GroupConfig{ID: cfg.Group, Topics: cfg.topics()})
	if err != nil {
		return nil, fmt.Errorf("consumer group %s: %w", cfg.Group, err)
	}
	return &Ingester{
		cfg: cfg, deps: deps, group: group, pool: newBlockPool(cfg.Blocks),
		metrics: newMetrics(deps.Metrics), stops: &stops{reasons: map[string]string{}},
	}, nil
}

// Run seals until ctx ends, and returns nil then. It refuses to start on a store
// whose settings do not let it tell one writer from two, and on topics that lose
// records (*kafkaio.PolicyError).
func (in *Ingester) Run(ctx context.Context) error {
	if err := in.deps.Store.AssertFence(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("clickhouse cannot keep writers apart: %w", err)
	}
	if err := in.checkTopics(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return in.deps.Cache.Run(ctx) }) // ends with ctx
	group.Go(func() error { return in.watchSettings(ctx) })  // ends with ctx, or when the settings must not be worked with
	group.Go(func() error {                                  // ends with ctx
		return in.group.Run(ctx, func(ctx context.Context, a kafkaio.Assignment) error {
			p := &partition{in: in, topic: a.Topic, number: a.Partition, assigned: a,
				log: in.deps.Log.With("topic", a.Topic, "partition", a.Partition)}
			return p.run(ctx)
		})
	})
	err := group.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

// settingsEvery is how often the store's and the topics' settings are looked at again.
const settingsEvery = 10 * time.Minute

// watchSettings ends the process when somebody has changed the settings that keep
// writers apart or records in their topics. What it cannot find out is found out by
// the next insert or look.
func (in *Ingester) watchSettings(ctx context.Context) error {
	tick := time.NewTicker(settingsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		var broken *store.FenceError
		if err := in.deps.Store.AssertFence(ctx); errors.As(err, &broken) {
			return fmt.Errorf("clickhouse no longer keeps writers apart: %w", err)
		}
		for _, topic := range in.cfg.topics() {
			var refused *kafkaio.PolicyError
			if err := in.deps.Kafka.CheckTopic(ctx, topic); errors.As(err, &refused) {
				return refused
			}
		}
	}
}

// Checks are what the process needs to be ready.
func (in *Ingester) Checks() []telemetry.Check {
	return []telemetry.Check{
		{Name: "kafka", Run: in.deps.Kafka.Ping},
		{Name: "clickhouse", Run: in.deps.Store.Ping},
		{Name: "vault", Run: in.deps.Vault.Ping},
		{Name: "partitions", Run: in.stops.check},
	}
}

func (in *Ingester) ledgerDeps() ledger.Deps[*store.Block] {
	return ledger.Deps[*store.Block]{
		Store:  LedgerStore(in.deps.Store),
		Anchor: anchors(in.deps.Vault),
		Retrying: func(log string, err error) {
			in.metrics.retries.Inc()
			in.deps.Log.Warn("store does not take the batch, trying again", "log", log, "error", err)
		},
	}
}

// sealerDeps is what the sealer of a partition works with.
func (in *Ingester) sealerDeps(topic string, number int) sealerDeps {
	return sealerDeps{
		partition: chain.LogName(topic, number, 0), fields: in.cfg.Fields, vault: in.deps.Vault, cache: in.deps.Cache, scan: in.deps.Scanner,
		wait: patience{log: in.deps.Log, retries: in.metrics.retries},
	}
}
