// Package intake reads people's requests from a Kafka topic and stores them in the vault, each once. What cannot be read is said in the log as refused, with its
// place and the reason, and nothing of what it says.
package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// Config is what an Intake is told.
type Config struct {
	Topic string // of requests
	Group string // consumer group: its committed offsets are where reading goes on
	// Trusted takes the word of whoever writes the topic that a request was verified. Otherwise somebody else has to verify it.
	Trusted bool
}

// Deps are the systems that an Intake works with. It closes none of them.
type Deps struct {
	Kafka   *kafkaio.Client
	Vault   *vault.Vault
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Intake reads requests. Several of them share the partitions.
type Intake struct {
	cfg     Config
	deps    Deps
	group   *kafkaio.Group
	records *prometheus.CounterVec
	lag     *prometheus.GaugeVec
}

// Label of records.
const (
	resultAccepted = "accepted"
	resultRepeated = "repeated"
	resultRejected = "rejected"
)

// New checks the configuration. It starts nothing.
func New(cfg Config, deps Deps) (*Intake, error) {
	group, err := deps.Kafka.NewGroup(kafkaio.GroupConfig{ID: cfg.Group, Topics: []string{cfg.Topic}})
	if err != nil {
		return nil, fmt.Errorf("intake of requests: %w", err)
	}
	in := &Intake{
		cfg: cfg, deps: deps, group: group,
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_gdpr_intake_records_total", Help: "Records of the topic of requests, by what became of them.",
		}, []string{"result"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_gdpr_intake_lag_records", Help: "Records of the topic of requests that were not read yet.",
		}, []string{"partition"}),
	}
	for _, result := range []string{resultAccepted, resultRepeated, resultRejected} {
		in.records.WithLabelValues(result) // there from the start, so that rates are right
	}
	return in, errors.Join(deps.Metrics.Register(in.records), deps.Metrics.Register(in.lag))
}

// Run reads until ctx ends, and returns nil then. A record whose request the vault has may be read again after an end: it is known by its id.
func (in *Intake) Run(ctx context.Context) error {
	return in.group.Run(ctx, func(ctx context.Context, a kafkaio.Assignment) error {
		p := &partition{intake: in, assigned: a, log: in.deps.Log.With("topic", a.Topic, "partition", a.Partition)}
		return p.run(ctx)
	})
}

// partition reads one partition for as long as it is assigned. It belongs to one goroutine.
type partition struct {
	intake   *Intake
	assigned kafkaio.Assignment
	log      *slog.Logger
}

// newBackoff waits 100 ms at first and 5 s at last.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 100*time.Millisecond, 5*time.Second
	return b
}

// run reads until ctx ends, whatever happens: a partition that stood still would be requests that nobody answers.
func (p *partition) run(ctx context.Context) error {
	label := fmt.Sprintf("%s/%d", p.assigned.Topic, p.assigned.Partition)
	defer p.intake.lag.DeleteLabelValues(label) // who reads it next shows it
	lag := p.intake.lag.WithLabelValues(label)
	from, known := int64(0), false
	wait := newBackoff()
	for ctx.Err() == nil {
		var err error
		if !known {
			from, err = p.start(ctx)
		}
		if err == nil {
			known = true
			from, err = p.follow(ctx, from, lag)
		}
		var lost *kafkaio.OffsetError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &lost):
			// Standing still would lose more. What was lost was somebody's request: an operator has to ask the sender.
			p.log.Error("requests were lost before they were read, going on at the first that Kafka has", "wanted", lost.Wanted, "start", lost.Start, "end", lost.End)
			from = lost.Start
		default:
			p.log.Error("requests cannot be read, trying again", "error", err)
			pause(ctx, wait.NextBackOff())
		}
	}
	return nil
}

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
	next, ok, err := p.intake.deps.Kafka.Committed(ctx, p.intake.cfg.Group, p.assigned.Topic, p.assigned.Partition)
	if err != nil || ok {
		return next, err
	}
	next, _, err = p.intake.deps.Kafka.Offsets(ctx, p.assigned.Topic, p.assigned.Partition)
	return next, err
}

// follow takes records from an offset on until ctx ends or following fails, and returns where to go on.
func (p *partition) follow(ctx context.Context, from int64, lag prometheus.Gauge) (next int64, err error) {
	return p.intake.deps.Kafka.Each(ctx, p.assigned.Topic, p.assigned.Partition, from, func(batch *kafkaio.Batch) error {
		if !p.takeAll(ctx, batch) {
			return ctx.Err()
		}
		p.assigned.Commit(batch.Next) // the vault has them all
		lag.Set(float64(batch.HighWatermark - batch.Next))
		return nil
	})
}

// takeAll returns false if ctx ended before the vault had all of a batch.
func (p *partition) takeAll(ctx context.Context, batch *kafkaio.Batch) bool {
	for i := range batch.Records {
		wait := newBackoff()
		for {
			result, err := p.take(ctx, &batch.Records[i])
			if err == nil {
				p.intake.records.WithLabelValues(result).Inc()
				break
			}
			if ctx.Err() != nil {
				return false
			}
			p.log.Warn("a request cannot be stored, trying again", "offset", batch.Records[i].Offset, "error", err)
			pause(ctx, wait.NextBackOff())
		}
	}
	return ctx.Err() == nil
}

// take stores the request of a record, or that it is none.
func (p *partition) take(ctx context.Context, record *kafkaio.Record) (result string, err error) {
	refuse := func(field, reason string) (string, error) {
		return resultRejected, privacy.NoteRejected(ctx, p.intake.deps.Vault, privacy.Rejected{
			Topic: p.assigned.Topic, Partition: p.assigned.Partition, Offset: record.Offset, At: time.UnixMilli(record.TimeMillis), Field: field, Reason: reason,
		})
	}
	if record.CutBytes > 0 {
		return refuse("", "it has more than 64 KiB")
	}
	// What waited in Kafka is as old as it is: its time is compared with the record's, as far as that can be.
	now := time.Now()
	if came := time.UnixMilli(record.TimeMillis); came.Before(now) {
		now = came
	}
	form, err := gdpr.ParseForm(record.Value, now)
	var wrong *gdpr.FormError
	switch {
	case errors.As(err, &wrong):
		return refuse(wrong.Field, wrong.Reason)
	case err != nil:
		return "", err
	case form.Tenant == "":
		return refuse("tenant", "is missing")
	}
	verifiedBy := ""
	if p.intake.cfg.Trusted {
		if verifiedBy = form.VerifiedBy; verifiedBy == "" {
			verifiedBy = "topic " + p.assigned.Topic
		}
	}
	_, added, err := privacy.Accept(ctx, p.intake.deps.Vault, &form, form.Tenant, verifiedBy)
	switch {
	case errors.Is(err, privacy.ErrOtherRequest):
		return refuse("subject_request_id", "another request has this id")
	case err != nil:
		return "", err
	case !added:
		return resultRepeated, nil
	}
	return resultAccepted, nil
}
