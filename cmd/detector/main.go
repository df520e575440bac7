// Command detector notices what is unusual and raises alerts.
package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/detector"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
)

func main() {
	os.Exit(process.Main(process.Spec{
		Name:   "detector",
		Help:   "Notices what is unusual for users, agents, tenants and producers, and raises alerts.",
		Listen: func(c config.Config) string { return c.HTTP.Detector },
		Memory: func(c config.Config) config.ByteSize { return c.Detector.MemoryLimit },
		Build:  build,
	}, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

func build(ctx context.Context, base process.Base) (*process.Process, error) {
	signer, err := process.DetectorAuthor(base.Config)
	if err != nil {
		return nil, err
	}
	scanner, err := process.NewScanner(base.Config)
	if err != nil {
		return nil, err
	}
	book, err := process.NewRules(base.Config, base.Log)
	if err != nil {
		return nil, err
	}
	systems, err := process.OpenWithoutStore(ctx, base.Config, kafkaio.Deps{Logger: base.Log, Metrics: base.Metrics})
	if err != nil {
		return nil, err
	}
	d, err := detector.New(process.DetectorConfig(base.Config), detector.Deps{
		Kafka: systems.Kafka, Vault: systems.Vault, Author: signer, Scanner: scanner, Rules: book, Metrics: base.Metrics, Log: base.Log,
	})
	if err != nil {
		return nil, errors.Join(err, systems.Close())
	}
	notifier, err := process.NewNotifier(base, systems, signer)
	if err != nil {
		return nil, errors.Join(err, systems.Close())
	}
	return &process.Process{Run: both(d.Run, notifier.Run), Close: systems.Close, Checks: d.Checks(), Handler: notifier.Handler()}, nil
}

// both runs until ctx ends, or one of them fails.
func both(run ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		for _, run := range run {
			group.Go(func() error { return run(ctx) }) // ends with ctx
		}
		return group.Wait()
	}
}
