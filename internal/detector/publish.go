package detector

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// publisher says incidents: on the topic of alerts first, from which Slack and others are told, then in the log.
type publisher struct {
	detector *Detector
	said     *said
	turn     *vault.Turn
}

// publish says what is new among incidents, and what has waited. It tries again until Kafka has it or ctx ends: until then nothing that depends on it, such as a
// snapshot from behind it, may be stored.
func (p *publisher) publish(ctx context.Context, incidents []anomaly.Incident) error {
	now := time.Now()
	incidents = append(incidents, p.said.due(now)...)
	var alerts, records []kafkaio.Message
	var news []*anomaly.Incident
	for i := range incidents {
		in := &incidents[i]
		isNew, err := p.said.next(in, now)
		if err != nil {
			return err
		}
		if !isNew {
			continue
		}
		text, err := anomaly.MarshalIncident(in)
		if err != nil {
			return err
		}
		record, err := p.sealed(in)
		if err != nil {
			return err
		}
		alerts = append(alerts, kafkaio.Message{Key: in.ID[:], Value: text})
		records = append(records, record)
		news = append(news, in)
		// Before it is sent: another revision of the same incident may follow in this very list.
		if err := p.said.heard(in, now); err != nil {
			return err
		}
	}
	if len(alerts) == 0 {
		return nil
	}
	// A detector that was stopped and wakes up must not say anything after its successor: people would see what is final become provisional again.
	if err := p.turn.Certain(ctx); err != nil {
		return err
	}
	if err := p.send(ctx, p.detector.cfg.AlertsTopic, alerts); err != nil {
		return err
	}
	for _, in := range news {
		p.detector.metrics.said(in)
	}
	return p.send(ctx, p.detector.cfg.SystemTopic, records)
}

func (p *publisher) send(ctx context.Context, topic string, messages []kafkaio.Message) error {
	wait := backoff.NewExponentialBackOff()
	wait.MaxInterval = retryAfter
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		return struct{}{}, p.detector.deps.Kafka.Produce(ctx, topic, messages)
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0), backoff.WithNotify(func(err error, _ time.Duration) {
		p.detector.deps.Log.Warn("alerts cannot be sent, trying again", "topic", topic, "error", err)
	}))
	return err
}

// sealed returns the entry of a revision, signed.
func (p *publisher) sealed(in *anomaly.Incident) (kafkaio.Message, error) {
	author := p.detector.deps.Author
	record, err := alert.Record(in, author.Name(), time.Now())
	if err != nil {
		return kafkaio.Message{}, err
	}
	text, err := record.AppendJSON(nil)
	if err != nil {
		return kafkaio.Message{}, fmt.Errorf("incident %s: %w", in.ID, err)
	}
	return author.Message(text), nil
}
