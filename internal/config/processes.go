package config

import "time"

// Detector counts events as they come; it raises no alerts yet.
type Detector struct {
	// Group is the consumer group.
	Group string `yaml:"group"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

// Exporter checks sealed entries again, signs checkpoints, serves the logs and sends heartbeats.
type Exporter struct {
	// AuthorKeyFile holds the key that signs the exporter's own records in the logs, such as heartbeats. It is made by
	// "agentaudit keys create-author" or up; nobody else may have access to it.
	AuthorKeyFile Path `yaml:"author_key_file"`
	// SigningKeys is the folder with the keys that sign checkpoints: each private key in it signs. "agentaudit keys rotate" makes
	// the next one, and up or setup the first; nobody else may have access to it.
	SigningKeys Path `yaml:"signing_keys"`
	// CheckpointTopic is where signed checkpoints go.
	CheckpointTopic string `yaml:"checkpoint_topic"`
	// RepublishEvery is how often checkpoints that have not moved are published again, and how soon other keys sign; 1s to 1h.
	RepublishEvery time.Duration `yaml:"republish_every"`
	// PublicTiles serves the logs (checkpoints, tiles, entries) to everybody who can reach http.exporter. Entries name no
	// person, but tenants, agents, tools and costs.
	PublicTiles bool `yaml:"public_tiles"`
	// PollEvery is how often ClickHouse is asked whether the table has changed; checkpoints are behind by that and a few
	// queries. 10ms to 10s.
	PollEvery time.Duration `yaml:"poll_every"`
	// RecheckEvery is how often what lies behind a log's checkpoint is checked again, from the first entry on; 1s to 720h.
	RecheckEvery time.Duration `yaml:"recheck_every"`
	// RecheckRate is how many entries a second are checked again, over all logs together: 40000 take about a seventh of one
	// core, ClickHouse's part included, and an hour for 144 million entries. 100 to 10000000.
	RecheckRate int `yaml:"recheck_rate"`
	// HeartbeatEvery is how often a signed record says that the logs live; 1s to 1h.
	HeartbeatEvery time.Duration `yaml:"heartbeat_every"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

func defaultDetector() Detector { return Detector{Group: "agentaudit-detector"} }

func defaultExporter() Exporter {
	return Exporter{
		AuthorKeyFile: "exporter.key", SigningKeys: "checkpoint-keys", CheckpointTopic: "audit.checkpoints", RepublishEvery: time.Minute,
		PollEvery: 500 * time.Millisecond, RecheckEvery: time.Hour, RecheckRate: 40_000, HeartbeatEvery: time.Minute,
	}
}

func (d *Detector) validate() error {
	if d.Group == "" {
		return wrong("detector.group", "", "a name")
	}
	return memoryLimit("detector.memory_limit", d.MemoryLimit)
}

func (e *Exporter) validate() error {
	if e.AuthorKeyFile == "" {
		return wrong("exporter.author_key_file", "", "a file")
	}
	if e.SigningKeys == "" {
		return wrong("exporter.signing_keys", "", "a folder")
	}
	if e.CheckpointTopic == "" {
		return wrong("exporter.checkpoint_topic", "", "a topic")
	}
	return first(
		func() error { return within("exporter.republish_every", e.RepublishEvery, time.Second, time.Hour) },
		func() error { return within("exporter.poll_every", e.PollEvery, 10*time.Millisecond, 10*time.Second) },
		func() error { return within("exporter.recheck_every", e.RecheckEvery, time.Second, 720*time.Hour) },
		func() error { return between("exporter.recheck_rate", e.RecheckRate, 100, 10_000_000) },
		func() error { return within("exporter.heartbeat_every", e.HeartbeatEvery, time.Second, time.Hour) },
		func() error { return memoryLimit("exporter.memory_limit", e.MemoryLimit) },
	)
}
