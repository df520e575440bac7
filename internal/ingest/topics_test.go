package ingest

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// A compacted topic is refused before anything is sealed.
func TestCompactedTopicIsRefused(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, broker string) {
		r := newRig(t, broker, 1)
		r.cfg.SystemTopic = testkit.Topic(t, broker, 1, "cleanup.policy", "compact")
		cache, err := vault.NewCache(r.vault, vault.CacheConfig{MaxSubjects: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		in, err := New(r.cfg, Deps{Kafka: r.kafka, Store: r.store, Vault: r.vault, Cache: cache, Scanner: newScanner(t),
			Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if err != nil {
			t.Fatal(err)
		}
		var refused *kafkaio.PolicyError
		if err := in.Run(t.Context()); !errors.As(err, &refused) || refused.Topic != r.cfg.SystemTopic {
			t.Errorf("Run returned %v", err)
		}
	})
}
