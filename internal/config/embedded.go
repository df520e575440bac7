package config

// Embedded is about the engines that "agentaudit up" runs itself.
type Embedded struct {
	// ClickHouseMemory is what the engine's process may use; beyond it queries and inserts are refused
	// and repeated. 512MiB to 1TiB.
	ClickHouseMemory ByteSize `yaml:"clickhouse_memory"`
}

func defaultEmbedded() Embedded { return Embedded{ClickHouseMemory: 2 << 30} }

func (e *Embedded) validate() error {
	return sized("embedded.clickhouse_memory", e.ClickHouseMemory, 512<<20, 1<<40)
}
