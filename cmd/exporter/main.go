// Command exporter checks sealed entries again, signs checkpoints, serves the logs and sends heartbeats.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/exporter"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/process"
)

func main() {
	os.Exit(process.Main(process.Spec{
		Name:   "exporter",
		Help:   "Checks sealed entries again, signs checkpoints, serves the logs and sends heartbeats.",
		Listen: func(c config.Config) string { return c.HTTP.Exporter },
		Memory: func(c config.Config) config.ByteSize { return c.Exporter.MemoryLimit },
		Build:  build,
	}, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

func build(ctx context.Context, base process.Base) (_ *process.Process, err error) {
	signer, err := process.ExporterAuthor(base.Config)
	if err != nil {
		return nil, err
	}
	systems, err := process.Open(ctx, base.Config, kafkaio.Deps{Logger: base.Log, Metrics: base.Metrics})
	if err != nil {
		return nil, err
	}
	retain, closeRetention, err := process.OpenRetention(ctx, base.Config, systems, base.Log)
	if err != nil {
		return nil, errors.Join(err, systems.Close())
	}
	closeAll := func() error { return errors.Join(closeRetention(), systems.Close()) }
	e, err := exporter.New(exporterConfig(base.Config), exporter.Deps{
		Kafka: systems.Kafka, Store: systems.Store, Vault: systems.Vault, Author: signer, Metrics: base.Metrics, Log: base.Log,
		Keys: process.SigningKeys(base.Config), Retention: retain,
	})
	if err != nil {
		return nil, errors.Join(process.Mistake{Err: err}, closeAll()) // New asks nobody: it looks at the configuration and the keys
	}
	requests := process.NewPrivacy(base.Config, systems, signer, base.Log)
	if err := requests.Register(base.Metrics); err != nil {
		return nil, errors.Join(err, closeAll())
	}
	breaches, err := privacy.NewBreachClock(systems.Vault, base.Metrics, base.Log)
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	outside, err := process.NewOutside(base, systems)
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return &process.Process{
		Run: process.Behind(requests, e.Run, requests.Run, breaches.Run, outside.Run, process.RotateKeys(base.Config, systems.Vault, base.Log)), Close: closeAll, Checks: e.Checks(), Handler: outside.Handler(e.Handler()),
	}, nil
}

// exporterConfig hands the exporter what is its of the configuration.
func exporterConfig(c config.Config) exporter.Config {
	cfg := exporter.DefaultConfig()
	cfg.SystemTopic = c.Ingest.Topics.System
	cfg.CheckpointTopic = c.Exporter.CheckpointTopic
	cfg.RepublishEvery = c.Exporter.RepublishEvery
	cfg.CheckPublished = c.Exporter.CheckPublished
	cfg.PublicTiles = c.Exporter.PublicTiles
	cfg.PollEvery = c.Exporter.PollEvery
	cfg.RecheckEvery = c.Exporter.RecheckEvery
	cfg.RecheckRate = c.Exporter.RecheckRate
	cfg.HeartbeatEvery = c.Exporter.HeartbeatEvery
	cfg.Witnesses, cfg.WitnessRequired = c.Exporter.Witnesses, c.Exporter.WitnessRequired
	cfg.CheckpointDir = string(c.Exporter.CheckpointDir)
	cfg.RejectedKeepDays = c.Ingest.Rejected.KeepDays
	return cfg
}
