package config

// Detector finds unusual behaviour.
type Detector struct {
	// Group is the consumer group.
	Group string `yaml:"group"`
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

// Exporter is the face to the outside.
type Exporter struct {
	// MemoryLimit is what the Go heap is kept below, as ingest.memory_limit.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

func defaultDetector() Detector { return Detector{Group: "agentaudit-detector"} }

func defaultExporter() Exporter { return Exporter{} }

func (d *Detector) validate() error {
	if d.Group == "" {
		return wrong("detector.group", "", "a name")
	}
	return memoryLimit("detector.memory_limit", d.MemoryLimit)
}

func (e *Exporter) validate() error {
	return memoryLimit("exporter.memory_limit", e.MemoryLimit)
}
