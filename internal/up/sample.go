package up

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/sample"
	"github.com/agentaudit/agentaudit/pkg/events"
)

const (
	// sampleHistory is what a new folder gets at once, so that there is something to ask for.
	sampleHistory = 10 * time.Minute
	// incidentAfter is when the sample's incident begins, after the streaming did.
	incidentAfter = 2 * time.Minute
	// sampleUsers are so many that none of them is beyond the built-in rules' budgets on an ordinary day: the one incident is the only alert.
	sampleUsers = 6000
)

// StreamSample sends sample traffic to the embedded broker until ctx ends: what would have happened in the time of
// history at once, the rest as it happens.
func StreamSample(ctx context.Context, c config.Config, history time.Duration, log *slog.Logger) (err error) {
	now := time.Now()
	cfg := sample.DefaultConfig()
	cfg.Users = sampleUsers
	cfg.Start = now.Add(-history)
	cfg.Incident = sample.DefaultIncident(now.Add(incidentAfter))
	generator, err := sample.New(cfg)
	if err != nil {
		return fmt.Errorf("make sample traffic: %w", err)
	}
	to := events.DefaultEmitterConfig()
	to.Brokers = c.Kafka.Brokers
	to.Topic = c.Ingest.Topics.Events
	to.ProducerName = "sample"
	to.WhenFull = events.WaitWhenFull
	emitter, err := events.NewEmitter(to, events.EmitterDeps{Logger: log})
	if err != nil {
		return fmt.Errorf("send sample traffic: %w", err)
	}
	defer func() {
		// What is still in memory is not worth a slow end.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if closing := emitter.Close(grace); closing != nil && !errors.Is(closing, context.DeadlineExceeded) {
			err = errors.Join(err, closing)
		}
	}()
	log.Info("streaming sample traffic", "events_per_second_over_a_week", cfg.EventsPerSecond, "users", cfg.Users,
		"history", history, "incident_at", cfg.Incident.At.UTC().Format(time.RFC3339))
	return generator.Stream(ctx, emitter)
}
