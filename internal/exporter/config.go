package exporter

import (
	"errors"
	"fmt"
	"time"
)

// Config is what an Exporter is told. DefaultConfig has the defaults; New checks the bounds.
type Config struct {
	// SystemTopic is where heartbeats go.
	SystemTopic string
	// CheckpointTopic is where signed checkpoints go.
	CheckpointTopic string
	// RepublishEvery is how often checkpoints that have not moved are published again, and how soon other keys sign. 1 s to 1 h.
	RepublishEvery time.Duration
	// CheckPublished has CheckpointTopic read at the start, and nothing signed before: a vault that is behind what was published was restored from a backup,
	// and its logs are not vouched for again. Off, that is not noticed.
	CheckPublished bool
	// PublicTiles serves checkpoints, tiles and entries to everybody who asks. Entries name no person, but tenants, agents, tools and costs.
	PublicTiles bool
	// PollEvery is how often the table is asked whether it has changed; a checkpoint is behind by at most that and the time of a few queries.
	// 10 ms to 10 s.
	PollEvery time.Duration
	// RecheckEvery is how often the entries behind a log's checkpoint are checked again, from the first on. A change of old rows is found after
	// that time and a pass at the latest, or by `agentaudit verify`. 1 s to 30 days.
	RecheckEvery time.Duration
	// RecheckRate is how many entries a second are checked again, over all logs together: one log is read at a time. 40,000 take about a seventh of one
	// core of 2026, ClickHouse's part included (BenchmarkRecheck). 100 to 10,000,000.
	RecheckRate int
	// HeartbeatEvery is how often each partition of SystemTopic gets a heartbeat. 1 s to 1 h.
	HeartbeatEvery time.Duration
	// Witnesses sign checkpoints too, each a URL, a space and a public key: see witness.Parse.
	Witnesses []string
	// WitnessRequired lets nothing new be signed after a start before every witness has signed what was there.
	WitnessRequired bool
	// CheckpointDir is where each log's latest checkpoint is written; empty: nowhere.
	CheckpointDir string
	// RejectedKeepDays is how long the keys of rejected records are kept at least. 1 to 3650.
	RejectedKeepDays int
}

// DefaultConfig follows logs at most a second behind.
func DefaultConfig() Config {
	return Config{
		SystemTopic:      "audit.system",
		CheckpointTopic:  "audit.checkpoints",
		RepublishEvery:   time.Minute,
		CheckPublished:   true,
		PollEvery:        500 * time.Millisecond,
		RecheckEvery:     time.Hour,
		RecheckRate:      40_000,
		HeartbeatEvery:   time.Minute,
		RejectedKeepDays: 30,
	}
}

// Validate names the first field that is out of bounds.
func (c *Config) Validate() error {
	if c.SystemTopic == "" {
		return errors.New("exporter: system topic: must be named")
	}
	if c.CheckpointTopic == "" {
		return errors.New("exporter: topic of checkpoints: must be named")
	}
	for _, d := range []struct {
		name            string
		value, from, to time.Duration
	}{
		{"poll interval", c.PollEvery, 10 * time.Millisecond, 10 * time.Second},
		{"recheck interval", c.RecheckEvery, time.Second, 30 * 24 * time.Hour},
		{"republish interval", c.RepublishEvery, time.Second, time.Hour},
		{"heartbeat interval", c.HeartbeatEvery, time.Second, time.Hour},
	} {
		if d.value < d.from || d.value > d.to {
			return fmt.Errorf("exporter: %s %v: want %v to %v", d.name, d.value, d.from, d.to)
		}
	}
	if c.RecheckRate < 100 || c.RecheckRate > 10_000_000 {
		return fmt.Errorf("exporter: %d entries checked again a second: want 100 to 10000000", c.RecheckRate)
	}
	if c.RejectedKeepDays < 1 || c.RejectedKeepDays > 3650 {
		return fmt.Errorf("exporter: rejected records kept for %d days: want 1 to 3650", c.RejectedKeepDays)
	}
	return nil
}
