package config

import "time"

// Detector counts events as they come; it raises no alerts yet.
type Detector struct {
	// Group is the consumer group.
	Group string `yaml:"group"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

// Exporter checks sealed entries again, moves the checkpoints and sends heartbeats.
type Exporter struct {
	// AuthorKeyFile holds the key that signs the exporter's own records in the logs, such as heartbeats. It is made by
	// "agentaudit keys create-author" or up; nobody else may have access to it.
	AuthorKeyFile Path `yaml:"author_key_file"`
	// PollEvery is how often ClickHouse is asked whether the table has changed; checkpoints are behind by that and a few
	// queries. 10ms to 10s.
	PollEvery time.Duration `yaml:"poll_every"`
	// RecheckEvery is how often what lies behind a log's checkpoint is checked again, from the first entry on; 1s to 720h.
	RecheckEvery time.Duration `yaml:"recheck_every"`
	// HeartbeatEvery is how often a signed record says that the logs live; 1s to 1h.
	HeartbeatEvery time.Duration `yaml:"heartbeat_every"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

func defaultDetector() Detector { return Detector{Group: "agentaudit-detector"} }

func defaultExporter() Exporter {
	return Exporter{AuthorKeyFile: "exporter.key", PollEvery: 500 * time.Millisecond, RecheckEvery: time.Hour, HeartbeatEvery: time.Minute}
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
	return first(
		func() error { return within("exporter.poll_every", e.PollEvery, 10*time.Millisecond, 10*time.Second) },
		func() error { return within("exporter.recheck_every", e.RecheckEvery, time.Second, 720*time.Hour) },
		func() error { return within("exporter.heartbeat_every", e.HeartbeatEvery, time.Second, time.Hour) },
		func() error { return memoryLimit("exporter.memory_limit", e.MemoryLimit) },
	)
}
