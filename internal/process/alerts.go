package process

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/alert"
	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/notify"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// NewNotifier makes what tells people of incidents. What they answer is signed by signer and said in the log, from where the detector hears it.
func NewNotifier(base Base, systems *Systems, signer *author.Author) (*notify.Notifier, error) {
	cfg, err := NotifyConfig(base.Config)
	if err != nil {
		return nil, err
	}
	return notify.New(cfg, notifyDeps(base, systems, signer))
}

func notifyDeps(base Base, systems *Systems, signer *author.Author) notify.Deps {
	topic := base.Config.Ingest.Topics.System
	return notify.Deps{
		Kafka: systems.Kafka, Vault: systems.Vault, Metrics: base.Metrics, Log: base.Log,
		Reveal: func(ctx context.Context, tenant string, subject uuid.UUID) (string, error) {
			return nameForSlack(ctx, systems.Vault, tenant, gdpr.SubjectID(subject))
		},
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
		Feedback: func(ctx context.Context, order alert.Order) error {
			return SayOrder(ctx, systems.Kafka, topic, signer, &order)
		},
	}
}

// nameForSlack returns who a pseudonym is, after it was noted that Slack is told; "" if nobody may be told: the person is unknown, erased or restricted.
func nameForSlack(ctx context.Context, v *vault.Vault, tenant string, subject gdpr.SubjectID) (string, error) {
	ids := []gdpr.SubjectID{subject}
	restricted, err := v.Restricted(ctx, ids)
	if err != nil || restricted[subject] {
		return "", err
	}
	people, err := v.Identify(ctx, ids)
	if err != nil {
		return "", err
	}
	who := people[subject]
	if who.User == "" || who.Tenant != tenant {
		return "", nil
	}
	if err := privacy.NoteRead(ctx, v, "Slack", "identity", map[string]string{"subject": subject.String(), "reason": "detector.slack.show_identities"}); err != nil {
		return "", err
	}
	return who.User, nil
}

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
