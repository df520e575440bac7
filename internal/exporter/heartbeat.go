package exporter

import (
	"context"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// heartbeatWithin bounds one round, so that a Kafka that is away does not pile them up.
const heartbeatWithin = 30 * time.Second

// heartbeats sends one to each partition of the system topic, at once and then every HeartbeatEvery, until ctx ends. Silence between two of
// them is silence of the system's records, not of the way they take. A heartbeat that could not be sent is not made up for.
func (e *Exporter) heartbeats(ctx context.Context) error {
	tick := time.NewTicker(e.cfg.HeartbeatEvery)
	defer tick.Stop()
	for {
		err := e.heartbeat(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			e.metrics.heartbeats.WithLabelValues(resultFailed).Inc()
			e.log.Warn("no heartbeat", "topic", e.cfg.SystemTopic, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (e *Exporter) heartbeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatWithin)
	defer cancel()
	partitions, err := e.deps.Kafka.Partitions(ctx, e.cfg.SystemTopic)
	if err != nil {
		return err
	}
	for partition := range partitions {
		message, err := e.newHeartbeat(time.Now())
		if err != nil {
			return err
		}
		if err := e.deps.Kafka.ProduceTo(ctx, e.cfg.SystemTopic, partition, []kafkaio.Message{message}); err != nil {
			return err
		}
		e.metrics.heartbeats.WithLabelValues(resultSent).Inc()
	}
	return nil
}

func (e *Exporter) newHeartbeat(now time.Time) (kafkaio.Message, error) {
	record := events.Record{
		EventID: events.NewUUID(now), Time: now, Type: author.TypeHeartbeat, Action: "heartbeat", Outcome: events.Success, Tenant: author.Tenant,
		Agent: events.Agent{ID: e.deps.Author.Name()},
	}
	text, err := record.AppendJSON(nil)
	if err != nil {
		return kafkaio.Message{}, fmt.Errorf("make a heartbeat: %w", err)
	}
	return e.deps.Author.Message(text), nil
}
