// Command detector counts agents' events as they come; it raises no alerts yet.
package main

import (
	"context"
	"os"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/detector"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/process"
)

func main() {
	os.Exit(process.Main(process.Spec{
		Name:   "detector",
		Help:   "Counts agents' events as they come; it raises no alerts yet.",
		Listen: func(c config.Config) string { return c.HTTP.Detector },
		Memory: func(c config.Config) config.ByteSize { return c.Detector.MemoryLimit },
		Build:  build,
	}, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

func build(_ context.Context, base process.Base) (*process.Process, error) {
	kafka, err := process.OpenKafka(base.Config, kafkaio.Deps{Logger: base.Log, Metrics: base.Metrics})
	if err != nil {
		return nil, err
	}
	cfg := detector.DefaultConfig()
	cfg.EventsTopic = base.Config.Ingest.Topics.Events
	cfg.Group = base.Config.Detector.Group
	d, err := detector.New(cfg, detector.Deps{Kafka: kafka, Metrics: base.Metrics, Log: base.Log})
	if err != nil {
		kafka.Close()
		return nil, err
	}
	closeKafka := func() error {
		kafka.Close()
		return nil
	}
	return &process.Process{Run: d.Run, Close: closeKafka, Checks: d.Checks()}, nil
}
