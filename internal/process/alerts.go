package process

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/notify"
)

// NewNotifier makes what tells people of incidents. What they answer is signed by signer and said in the log, from where the detector hears it.
func NewNotifier(base Base, systems *Systems, signer *author.Author) (*notify.Notifier, error) {
	cfg, err := NotifyConfig(base.Config)
	if err != nil {
		return nil, err
	}
	topic := base.Config.Ingest.Topics.System
	return notify.New(cfg, notify.Deps{
		Kafka: systems.Kafka, Vault: systems.Vault, Metrics: base.Metrics, Log: base.Log,
		Checkpoints: func(ctx context.Context) ([]notify.Checkpoint, error) {
			signed, err := systems.Vault.Checkpoints(ctx)
			if err != nil {
				return nil, err
			}
			list := make([]notify.Checkpoint, len(signed))
			for i, c := range signed {
				list[i] = notify.Checkpoint{Log: c.Log, Size: c.Size, Root: base64.StdEncoding.EncodeToString(c.Root[:]), At: c.At}
			}
			return list, nil
		},
		Feedback: func(ctx context.Context, f notify.Feedback) error {
			order := alert.Order{Verb: verbs[f.Verdict], At: f.At, By: f.By, Incident: f.Incident, Until: f.Until}
			return SayOrder(ctx, systems.Kafka, topic, signer, &order)
		},
	})
}

// verbs are what the buttons of messages mean.
var verbs = map[notify.Verdict]alert.Verb{notify.Acknowledged: alert.Acknowledge, notify.Snoozed: alert.Snooze, notify.FalsePositive: alert.FalsePositive}

// SayOrder says an order about alerts in the log. It returns when Kafka has it; ingest seals it, and the detector hears it, soon after.
func SayOrder(ctx context.Context, kafka *kafkaio.Client, topic string, signer *author.Author, order *alert.Order) error {
	record, err := order.Record(signer.Name())
	if err != nil {
		return err
	}
	text, err := record.AppendJSON(nil)
	if err != nil {
		return fmt.Errorf("an order about alerts: %w", err)
	}
	return kafka.ProduceTo(ctx, topic, 0, []kafkaio.Message{signer.Message(text)})
}
