// Command ingest turns Kafka records into sealed entries in ClickHouse.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/ingest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/vault"
)

func main() {
	os.Exit(process.Main(process.Spec{
		Name:   "ingest",
		Help:   "Turns Kafka records into sealed entries in ClickHouse.",
		Listen: func(c config.Config) string { return c.HTTP.Ingest },
		Memory: func(c config.Config) config.ByteSize { return c.Ingest.MemoryLimit },
		Build:  build,
	}, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// build opens the outside systems and joins them to an ingester.
func build(ctx context.Context, base process.Base) (_ *process.Process, err error) {
	cfg, err := ingestConfig(base.Config)
	if err != nil {
		return nil, err
	}
	systems, err := process.Open(ctx, base.Config, kafkaio.Deps{Logger: base.Log, Metrics: base.Metrics})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, systems.Close())
		}
	}()
	cache, err := vault.NewCache(systems.Vault, vault.CacheConfig{MaxSubjects: base.Config.Ingest.Subjects.MaxCached})
	if err != nil {
		return nil, err
	}
	scanner, err := process.NewScanner(base.Config)
	if err != nil {
		return nil, err
	}
	ingester, err := ingest.New(cfg, ingest.Deps{
		Kafka: systems.Kafka, Store: systems.Store, Vault: systems.Vault, Cache: cache, Scanner: scanner, Metrics: base.Metrics, Log: base.Log,
	})
	if err != nil {
		return nil, err
	}
	// Nobody who was erased is sealed again because the vault was restored.
	guard := process.NewPrivacy(base.Config, systems, nil, base.Log)
	if err := guard.Register(base.Metrics); err != nil {
		return nil, err
	}
	return &process.Process{Run: process.Behind(guard, ingester.Run), Close: systems.Close, Checks: ingester.Checks()}, nil
}

// ingestConfig hands the ingester what is its of the configuration.
func ingestConfig(c config.Config) (ingest.Config, error) {
	cfg := ingest.DefaultConfig()
	cfg.EventsTopic = c.Ingest.Topics.Events
	cfg.SystemTopic = c.Ingest.Topics.System
	cfg.Group = c.Ingest.Group
	cfg.MaxRows = c.Ingest.Batch.MaxRows
	cfg.MaxBytes = int(c.Ingest.Batch.MaxBytes)
	cfg.Linger = c.Ingest.Batch.Linger
	cfg.Blocks = c.Ingest.Batch.InMemory
	cfg.Ledger = process.LedgerConfig(c)
	var errs []error
	policy := func(name string) ingest.Policy {
		p, err := ingest.ParsePolicy(name)
		errs = append(errs, err)
		return p
	}
	cfg.Fields = ingest.FieldPolicies{
		SessionID:      policy(c.Ingest.Fields.SessionID),
		ConversationID: policy(c.Ingest.Fields.ConversationID),
		SourceIP:       policy(c.Ingest.Fields.SourceIP),
		ResourceID:     policy(c.Ingest.Fields.ResourceID),
		Attributes:     policy(c.Ingest.Fields.Attributes),
	}
	return cfg, errors.Join(errs...)
}
