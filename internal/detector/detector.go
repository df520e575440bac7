package detector

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// Config is what a Detector is told.
type Config struct {
	EventsTopic string // agents' events
	SystemTopic string // our own processes' records: heartbeats, orders; incidents are said there too
	AlertsTopic string // incidents
	Group       string // consumer group under which the place of reading is committed, for tools that show its lag
	// SnapshotEvery is how often what was learned is stored; after a crash that much is read again. 1s to 1h.
	SnapshotEvery time.Duration
	// Turn is after how long without a sign of life another detector takes over; 1s to 1m.
	Turn time.Duration
	// MaxSubjects is how many people's pseudonyms are kept in memory.
	MaxSubjects int
	// Engine is how detection weighs.
	Engine anomaly.Config
}

// DefaultConfig has the names that ingest's topics have by default.
func DefaultConfig() Config {
	return Config{
		EventsTopic: "agent.events", SystemTopic: "audit.system", AlertsTopic: "agent.alerts", Group: "agentaudit-detector",
		SnapshotEvery: 30 * time.Second, Turn: 6 * time.Second, MaxSubjects: 1_000_000, Engine: anomaly.DefaultConfig(),
	}
}

// Validate says what is wrong.
func (c *Config) Validate() error {
	switch {
	case c.EventsTopic == "":
		return errors.New("detector: events topic: must be named")
	case c.SystemTopic == "":
		return errors.New("detector: system topic: must be named")
	case c.AlertsTopic == "":
		return errors.New("detector: alerts topic: must be named")
	case c.Group == "":
		return errors.New("detector: group: must be named")
	case c.SnapshotEvery < time.Second || c.SnapshotEvery > time.Hour:
		return fmt.Errorf("detector: snapshot every %v: 1s to 1h expected", c.SnapshotEvery)
	case c.Turn < time.Second || c.Turn > time.Minute:
		return fmt.Errorf("detector: turn of %v: 1s to 1m expected", c.Turn)
	}
	return nil
}

// Deps are the systems that a Detector works with. It closes none of them.
type Deps struct {
	Kafka   *kafkaio.Client
	Vault   *vault.Vault
	Author  *author.Author // registered in the vault; signs what is said in the log
	Scanner *scan.Scanner
	Rules   *rules.Reloader // Detector runs it
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Detector is the process of that name. Of several, one is active.
type Detector struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	seed    maphash.Seed // of what tells records apart
	active  atomic.Bool
}

// New checks the configuration. It starts nothing.
func New(cfg Config, deps Deps) (*Detector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(deps.Metrics, func() (broken, cut uint64) { return deps.Rules.Current().AllTroubles() })
	if err != nil {
		return nil, err
	}
	return &Detector{cfg: cfg, deps: deps, metrics: m, seed: maphash.MakeSeed()}, nil
}

// Active says whether this process is the one that detects.
func (d *Detector) Active() bool { return d.active.Load() }

// Run detects whenever it is this process's turn, until ctx ends, and returns nil then.
func (d *Detector) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.deps.Rules.Run(ctx) }) // ends with ctx
	group.Go(func() error { return d.turns(ctx) })          // ends with ctx
	return group.Wait()
}

func (d *Detector) turns(ctx context.Context) error {
	if err := d.register(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		turn := d.deps.Vault.NewTurn("detector", d.cfg.Turn)
		err := turn.Await(ctx, func(err error) { d.deps.Log.Warn("the vault cannot say whose turn it is, asking again", "error", err) })
		if err != nil {
			return nil
		}
		err = d.take(ctx, turn)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, vault.ErrTurnLost):
			d.deps.Log.Warn("another detector has taken over; this one stands by")
		default:
			d.deps.Log.Error("detecting failed, beginning again from the last snapshot", "error", err)
			pause(ctx, retryAfter)
		}
	}
	return nil
}

// register tells the vault whose signature incidents bear. It asks until the vault answers, or ctx ends.
func (d *Detector) register(ctx context.Context) error {
	for {
		err := d.deps.Author.Register(ctx, d.deps.Vault)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return nil
		case !errors.Is(err, vault.ErrUnavailable):
			return fmt.Errorf("detector: tell the vault the author's key: %w", err)
		}
		d.deps.Log.Warn("the vault is away; incidents could not be signed yet", "error", err)
		pause(ctx, retryAfter)
	}
}

// take detects while the turn is this process's.
func (d *Detector) take(ctx context.Context, turn *vault.Turn) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { // ends with ctx, or when the turn is another's
		err := turn.Hold(ctx, func(err error) {
			d.deps.Log.Warn("the vault is away; nobody can take over meanwhile, detecting goes on", "error", err)
		})
		if err == nil {
			err = ctx.Err()
		}
		return err
	})
	group.Go(func() error { // ends with ctx or by failing
		d.metrics.active.Set(1)
		d.active.Store(true)
		defer d.active.Store(false)
		defer d.metrics.active.Set(0)
		return d.detect(ctx, turn)
	})
	return group.Wait()
}

// Checks are what the process needs to be ready. The vault is none of them: a detector that cannot ask it goes on with those it knows.
func (d *Detector) Checks() []telemetry.Check {
	return []telemetry.Check{{Name: "kafka", Run: d.deps.Kafka.Ping}}
}
