package process

import (
	"context"
	"fmt"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// Setup makes what the processes expect to find: the vault's and ClickHouse's tables, up to date, and the topics.
// What is there already is left as it is, so it may run any number of times, also while processes run.
func Setup(ctx context.Context, c config.Config, deps kafkaio.Deps) error {
	vault, err := OpenVault(ctx, c)
	if err != nil {
		return err
	}
	if err := vault.Close(); err != nil {
		return fmt.Errorf("close the vault: %w", err)
	}

	store, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	if err := store.Migrate(ctx); err != nil {
		_ = store.Close() // the reason for failing is the one to report
		return fmt.Errorf("bring ClickHouse's tables up to date: %w", err)
	}
	if err := store.Close(); err != nil {
		return fmt.Errorf("close the store: %w", err)
	}

	kafka, err := OpenKafka(c, deps)
	if err != nil {
		return err
	}
	defer kafka.Close()
	return kafka.EnsureTopics(ctx, []kafkaio.TopicSpec{
		{Name: c.Ingest.Topics.Events, Partitions: c.Kafka.Partitions, ReplicationFactor: c.Kafka.ReplicationFactor},
		// One partition: our own processes write little, and what they write is read in order.
		{Name: c.Ingest.Topics.System, Partitions: 1, ReplicationFactor: c.Kafka.ReplicationFactor},
	})
}
