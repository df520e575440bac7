package process

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/retention"
	"github.com/agentaudit/agentaudit/internal/store"
)

// exporterName is the name under which the exporter, and the commands that act for it, sign system records.
const exporterName = "exporter"

// ExporterAuthor reads the key with which system records are signed.
func ExporterAuthor(c config.Config) (*author.Author, error) {
	a, err := author.Load(exporterName, string(c.Exporter.AuthorKeyFile))
	if err != nil {
		return nil, fmt.Errorf("exporter.author_key_file: %w", err)
	}
	return a, nil
}

// detectorName is the name under which detectors sign system records.
const detectorName = "detector"

// DetectorAuthor reads the key with which incidents are signed.
func DetectorAuthor(c config.Config) (*author.Author, error) {
	a, err := author.Load(detectorName, string(c.Detector.AuthorKeyFile))
	if err != nil {
		return nil, fmt.Errorf("detector.author_key_file: %w", err)
	}
	return a, nil
}

// SigningKeys returns what reads the keys of checkpoints.
func SigningKeys(c config.Config) func() (*logkeys.Folder, error) {
	return func() (*logkeys.Folder, error) {
		return logkeys.Load(string(c.Exporter.SigningKeys), c.Deployment)
	}
}

// OpenPruner makes what drops old parts of logs, with a connection of its own to ClickHouse if another user is to do it. close is called when it is used no more.
func OpenPruner(ctx context.Context, c config.Config, systems *Systems, log *slog.Logger) (p *retention.Pruner, done func() error, err error) {
	signer, err := ExporterAuthor(c)
	if err != nil {
		return nil, nil, err
	}
	dropper, done := systems.Store, func() error { return nil }
	if c.Retention.ClickHouseUser != "" {
		if dropper, err = openDropper(ctx, c); err != nil {
			return nil, nil, err
		}
		done = dropper.Close
	}
	return retention.New(retention.Deps{
		Kafka: systems.Kafka, Store: systems.Store, Dropper: dropper, Vault: systems.Vault, Author: signer, Keys: SigningKeys(c), Log: log,
	}, c.Ingest.Topics.System), done, nil
}

func openDropper(ctx context.Context, c config.Config) (*store.Store, error) {
	password, err := secret("retention.clickhouse_password", c.Retention.ClickHousePassword, c.Retention.ClickHousePasswordFile)
	if err != nil {
		return nil, err
	}
	cfg, err := storeConfig(c)
	if err != nil {
		return nil, err
	}
	cfg.User, cfg.Password = c.Retention.ClickHouseUser, password
	return store.Open(ctx, cfg)
}

// OpenRetention returns what drops what c says is old until its ctx ends; nil if c keeps everything. close is called when it is used no more.
func OpenRetention(ctx context.Context, c config.Config, systems *Systems, log *slog.Logger) (run func(context.Context) error, done func() error, err error) {
	policy := retention.Policy{EntriesMonths: c.Retention.EntriesMonths, ContentsMonths: c.Retention.ContentsMonths, Every: c.Retention.CheckEvery}
	if !policy.On() {
		return nil, func() error { return nil }, nil
	}
	pruner, done, err := OpenPruner(ctx, c, systems, log)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context) error { return pruner.Run(ctx, policy) }, done, nil
}
