package ingest

import (
	"context"
	"errors"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// checkTopics waits until Kafka answers, and returns an error if a topic that is to be sealed loses records before
// its retention ends: nothing would tell that they were there. Where Kafka does not say, sealing goes on with a warning.
func (in *Ingester) checkTopics(ctx context.Context) error {
	for _, topic := range in.cfg.topics() {
		var refused *kafkaio.PolicyError
		err := retry(ctx, func() error {
			switch err := in.deps.Kafka.CheckTopic(ctx, topic); {
			case err == nil || errors.As(err, &refused):
				return nil
			case errors.Is(err, kafkaio.ErrNotTold):
				in.deps.Log.Warn("cannot tell whether Kafka keeps all records of the topic until its retention ends", "topic", topic, "error", err)
				return nil
			case ctx.Err() != nil:
				return err
			default:
				in.deps.Log.Warn("Kafka does not answer, sealing waits", "topic", topic, "error", err)
				return err
			}
		})
		if err != nil {
			return err
		}
		if refused != nil {
			return refused
		}
	}
	return nil
}
