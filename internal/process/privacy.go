package process

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/privacy"
)

// NewPrivacy makes what carries out people's requests. Without an author it can only replay.
func NewPrivacy(c config.Config, systems *Systems, signer *author.Author, log *slog.Logger) *privacy.Worker {
	cfg := privacy.DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic, cfg.RejectedKeepDays = c.Ingest.Topics.Events, c.Ingest.Topics.System, c.Ingest.Rejected.KeepDays
	cfg.RequestsTopic = c.Exporter.GDPR.Topic
	cfg.ExportDir, cfg.ExportKeep = string(c.Exporter.ExportDir), c.Exporter.ExportKeep
	if cfg.BackupsDie = c.Keys.RotateEvery; cfg.BackupsDie > 0 {
		cfg.BackupsDie += rotationGrace
	}
	return privacy.New(cfg, privacy.Deps{Kafka: systems.Kafka, Store: systems.Store, Vault: systems.Vault, Author: signer, Keys: SigningKeys(c), Log: log})
}

// Behind runs main once the erasures that stand in the log have been compared with the vault, and others beside it, until ctx ends. They are compared again
// whenever the vault goes back in time.
func Behind(guard *privacy.Worker, main func(context.Context) error, others ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := guard.AwaitReplay(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return errors.Join(errors.New("compare the vault with the log"), err)
		}
		group, ctx := errgroup.WithContext(ctx)
		for _, run := range append(others, main, guard.Watch) {
			group.Go(func() error { return run(ctx) }) // ends with ctx
		}
		return group.Wait()
	}
}
