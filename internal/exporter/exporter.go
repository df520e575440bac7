package exporter

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// Deps are the systems that an Exporter works with. It closes none of them.
type Deps struct {
	Kafka  *kafkaio.Client
	Store  *store.Store
	Vault  *vault.Vault
	Author *author.Author // signs the heartbeats; Exporter registers it in the vault
	Keys   Keys           // sign the checkpoints
	// Retention drops what is old until its ctx ends. Nil: everything is kept.
	Retention func(ctx context.Context) error
	Metrics   prometheus.Registerer
	Log       *slog.Logger
}

// Exporter is the process of that name.
type Exporter struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	scans   chan struct{} // bounds the logs that are being followed at one moment
	recheck chan struct{} // one log is checked anew at a time
	changes *changes

	lock      *lock
	ledger    ledger
	table     table
	outbox    outbox
	keys      atomic.Pointer[signingKeys]
	published *published
	witnesses *witnesses
}

// parallelScans bounds the queries that following makes at a time. Checking is bound by the processor, and the engine shares it.
const parallelScans = 4

// New checks the configuration and reads the keys. It starts nothing.
func New(cfg Config, deps Deps) (*Exporter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(&cfg, deps.Metrics)
	if err != nil {
		return nil, err
	}
	e := &Exporter{
		cfg: cfg, deps: deps, log: deps.Log, metrics: m, scans: make(chan struct{}, parallelScans), recheck: make(chan struct{}, 1),
		changes: newChanges(), published: newPublished(), lock: newLock(), ledger: deps.Vault, table: deps.Store, outbox: deps.Kafka,
	}
	if e.witnesses, err = newWitnesses(&cfg, deps.Metrics); err != nil {
		return nil, err
	}
	keys, err := e.loadKeys()
	if err != nil {
		return nil, err
	}
	e.keys.Store(keys)
	return e, nil
}

// Run works until ctx ends and returns nil then. It fails when its author's name belongs to another key.
func (e *Exporter) Run(ctx context.Context) error {
	if err := e.register(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	defer e.witnesses.close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.watch(ctx, group) })  // ends with ctx, as do the followers it starts
	group.Go(func() error { return e.heartbeats(ctx) })    // ends with ctx
	group.Go(func() error { return e.expireDayKeys(ctx) }) // ends with ctx
	group.Go(func() error { return e.publish(ctx) })       // ends with ctx
	group.Go(func() error { return e.writeFiles(ctx) })    // ends with ctx
	group.Go(func() error { return e.watchKeys(ctx) })     // ends with ctx
	group.Go(func() error { return e.readLock(ctx) })      // ends with ctx or when the topic was read
	if e.deps.Retention != nil {
		group.Go(func() error { return e.deps.Retention(ctx) }) // ends with ctx
	}
	return ignoreEnd(ctx, group.Wait())
}

// Checks are what the process needs to be ready. A log that failed verification does not make it unready: the others go on, and the alarm is the metric.
func (e *Exporter) Checks() []telemetry.Check {
	return []telemetry.Check{
		{Name: "kafka", Run: e.deps.Kafka.Ping},
		{Name: "clickhouse", Run: e.deps.Store.Ping},
		{Name: "vault", Run: e.deps.Vault.Ping},
	}
}

// register tells the vault the author's key, as soon as the vault answers.
func (e *Exporter) register(ctx context.Context) error {
	wait := newBackoff()
	for {
		err := e.deps.Author.Register(ctx, e.deps.Vault)
		if err == nil || errors.Is(err, vault.ErrExists) {
			return err
		}
		e.failing("the author's key cannot be registered, trying again", err)
		if err := sleep(ctx, wait.NextBackOff()); err != nil {
			return err
		}
	}
}

// failing logs and counts what is tried again.
func (e *Exporter) failing(what string, err error, about ...any) {
	e.metrics.retries.Inc()
	e.log.Warn(what, append(about, "error", err)...)
}

// newBackoff waits 100 ms at first and 5 s at last, each time by a random half more or less.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = 100*time.Millisecond, 5*time.Second, 2, 0.5
	return b
}

// sleep returns early, with its cause, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ignoreEnd turns the end of ctx into success: it was asked for.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
