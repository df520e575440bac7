package process

import (
	"fmt"
	"log/slog"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/detector"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
)

// DetectorConfig hands the detector what is its of the configuration.
func DetectorConfig(c config.Config) detector.Config {
	cfg := detector.DefaultConfig()
	cfg.EventsTopic, cfg.SystemTopic, cfg.AlertsTopic = c.Ingest.Topics.Events, c.Ingest.Topics.System, c.Detector.AlertsTopic
	cfg.Group, cfg.SnapshotEvery, cfg.Turn, cfg.MaxSubjects = c.Detector.Group, c.Detector.SnapshotEvery, c.Detector.TakeOver, c.Detector.MaxCached
	cfg.Engine = EngineConfig(c)
	return cfg
}

// EngineConfig is how detection weighs.
func EngineConfig(c config.Config) anomaly.Config {
	cfg := anomaly.DefaultConfig()
	cfg.Threshold, cfg.LearnDays, cfg.AlertsPerDay = c.Detector.Threshold, c.Detector.LearnDays, c.Detector.AlertsPerDay
	return cfg
}

// NewRules loads the operator's rules, or the built-in ones if there are none.
func NewRules(c config.Config, log *slog.Logger) (*rules.Reloader, error) {
	r, err := rules.NewReloader(string(c.Detector.RulesFile), func(set *rules.Set) {
		log.Info("the rules have changed", "rules", set.Len())
	}, func(err error) {
		log.Error("the file of rules is not taken, the old rules stay in effect", "error", err)
	})
	if err != nil {
		return nil, fmt.Errorf("detector.rules_file: %w", err)
	}
	return r, nil
}
