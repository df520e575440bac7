package process

import (
	"context"
	"errors"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// Setup makes what the processes expect to find: the vault's and ClickHouse's tables, up to date, and the topics.
// What is there already is left as it is, so it may run any number of times, also while processes run.
func Setup(ctx context.Context, c config.Config, deps kafkaio.Deps) (err error) {
	systems, err := Open(ctx, c, deps) // opening the vault brings its tables up to date
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, systems.Close()) }()
	if err := systems.Store.Migrate(ctx); err != nil {
		return fmt.Errorf("bring ClickHouse's tables up to date: %w", err)
	}
	topics := []kafkaio.TopicSpec{
		{Name: c.Ingest.Topics.Events, Partitions: c.Kafka.Partitions, ReplicationFactor: c.Kafka.ReplicationFactor, Configs: topicConfigs()},
		// One partition: our own processes write little, and what they write is read in order.
		{Name: c.Ingest.Topics.System, Partitions: 1, ReplicationFactor: c.Kafka.ReplicationFactor, Configs: topicConfigs()},
		{Name: c.Exporter.CheckpointTopic, Partitions: 1, ReplicationFactor: c.Kafka.ReplicationFactor},
		// Read from its beginning at each start of a detector, so it must not grow for ever.
		{Name: c.Detector.AlertsTopic, Partitions: 1, ReplicationFactor: c.Kafka.ReplicationFactor, Configs: map[string]string{"retention.ms": alertsKeptMillis}},
	}
	if c.Exporter.GDPR.Topic != "" {
		topics = append(topics, kafkaio.TopicSpec{Name: c.Exporter.GDPR.Topic, Partitions: 1, ReplicationFactor: c.Kafka.ReplicationFactor})
	}
	if err := systems.Kafka.EnsureTopics(ctx, topics); err != nil {
		return fmt.Errorf("make the topics: %w", err)
	}
	return nil
}

// alertsKeptMillis is 30 days. Alerts stay in the log.
const alertsKeptMillis = "2592000000"

// topicConfigs are the settings of topics that we make. Kafka's default for the size of a message leaves no room for a
// record of 1 MiB and what is around it; records beyond what we accept are to arrive all the same, to be sealed as
// rejected.
func topicConfigs() map[string]string {
	return map[string]string{"max.message.bytes": "4194304"}
}
