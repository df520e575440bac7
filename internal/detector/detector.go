package detector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/telemetry"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Config is what a Detector is told.
type Config struct {
	EventsTopic string // agents' events
	Group       string // consumer group; its committed offsets are where reading goes on
}

// DefaultConfig has the names that ingest's topics have by default.
func DefaultConfig() Config {
	return Config{EventsTopic: "agent.events", Group: "agentaudit-detector"}
}

// Deps are the systems that a Detector works with. It closes none of them.
type Deps struct {
	Kafka   *kafkaio.Client
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Detector is the process of that name.
type Detector struct {
	cfg     Config
	deps    Deps
	group   *kafkaio.Group
	metrics *metrics
}

// New checks the configuration. It starts nothing.
func New(cfg Config, deps Deps) (*Detector, error) {
	if cfg.EventsTopic == "" {
		return nil, errors.New("detector: events topic: must be named")
	}
	group, err := deps.Kafka.NewGroup(kafkaio.GroupConfig{ID: cfg.Group, Topics: []string{cfg.EventsTopic}})
	if err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	return &Detector{cfg: cfg, deps: deps, group: group, metrics: m}, nil
}

// Run reads the partitions that the group assigns until ctx ends, and returns nil then. A record that was read within the last second before an end is
// read, and counted, again.
func (d *Detector) Run(ctx context.Context) error {
	return d.group.Run(ctx, func(ctx context.Context, a kafkaio.Assignment) error {
		p := &partition{detector: d, assigned: a, parser: events.NewParser(), counters: newFamilyCounters(d.metrics)}
		return p.run(ctx)
	})
}

// Checks are what the process needs to be ready.
func (d *Detector) Checks() []telemetry.Check {
	return []telemetry.Check{{Name: "kafka", Run: d.deps.Kafka.Ping}}
}

// partition reads one partition for as long as it is assigned. It belongs to one goroutine.
type partition struct {
	detector *Detector
	assigned kafkaio.Assignment
	parser   *events.Parser
	event    events.Event
	counters familyCounters
}

// run reads until ctx ends, whatever happens: a partition that stood still would be silence that nobody notices.
func (p *partition) run(ctx context.Context) error {
	d, topic, number := p.detector, p.assigned.Topic, p.assigned.Partition
	log := d.deps.Log.With("topic", topic, "partition", number)
	label := fmt.Sprintf("%s/%d", topic, number)
	defer d.metrics.lag.DeleteLabelValues(label) // who reads it next shows it
	lag := d.metrics.lag.WithLabelValues(label)
	from, known := int64(0), false
	for ctx.Err() == nil {
		var err error
		if !known {
			from, err = p.start(ctx)
		}
		if err == nil {
			from, err = p.follow(ctx, from, lag)
			known = true
		}
		var lost *kafkaio.OffsetError
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &lost):
			// Unlike ingest, which stops: what was lost was never noticed, and standing still would lose more.
			d.metrics.skipped.Inc()
			log.Error("records were lost before the detector read them, going on at the first that Kafka has",
				"wanted", lost.Wanted, "start", lost.Start, "end", lost.End)
			from = lost.Start
		default:
			log.Error("reading failed, trying again", "error", err)
			pause(ctx, retryAfter)
		}
	}
	return nil
}

// retryAfter parts two attempts at what Follow could not outlast by itself, such as a batch that is damaged on the broker's disk.
const retryAfter = 5 * time.Second

// pause returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// start is where the group left off, or the first record that Kafka has.
func (p *partition) start(ctx context.Context) (int64, error) {
	d, topic, number := p.detector, p.assigned.Topic, p.assigned.Partition
	next, ok, err := d.deps.Kafka.Committed(ctx, d.cfg.Group, topic, number)
	if err != nil || ok {
		return next, err
	}
	next, _, err = d.deps.Kafka.Offsets(ctx, topic, number)
	return next, err
}

// follow counts records from an offset on until ctx ends or following fails, and returns where to go on.
func (p *partition) follow(ctx context.Context, from int64, lag prometheus.Gauge) (next int64, err error) {
	batches := make(chan *kafkaio.Batch)
	ended := make(chan error, 1)
	go func() { // ends with ctx or by failing, and is awaited below
		ended <- p.detector.deps.Kafka.Follow(ctx, p.assigned.Topic, p.assigned.Partition, from, batches)
	}()
	next = from
	for {
		select {
		case batch := <-batches:
			p.count(batch)
			lag.Set(float64(batch.HighWatermark - batch.Next))
			next = batch.Next
			p.assigned.Commit(next)
			batch.Release()
		case err := <-ended:
			return next, err
		}
	}
}

func (p *partition) count(batch *kafkaio.Batch) {
	for i := range batch.Records {
		record := &batch.Records[i]
		if record.CutBytes > 0 || p.parser.Parse(record.Value, &p.event) != nil || p.event.Reserved() {
			p.detector.metrics.rejected.Inc()
			continue
		}
		p.counters.count(p.event.Raw(events.FieldType), p.event.Outcome())
	}
}
