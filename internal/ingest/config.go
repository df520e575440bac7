package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/agentaudit/agentaudit/internal/ledger"
)

// Config is what an Ingester is told.
type Config struct {
	EventsTopic string // agents' events
	SystemTopic string // our own processes' signed records
	Group       string // consumer group

	// MaxRows and MaxBytes end a batch; MaxBytes counts the encoded block.
	MaxRows  int
	MaxBytes int
	// Linger is how long a batch waits for more records after its first.
	Linger time.Duration
	// Blocks is how many batches may be in memory at once, over all partitions.
	Blocks int

	Fields FieldPolicies
	Ledger ledger.Config
}

// topics are those that are sealed.
func (c Config) topics() []string { return []string{c.EventsTopic, c.SystemTopic} }

// Bounds of a batch: what the store takes as one block, and with it as one atomic
// insert under one deduplication token.
const (
	maxBatchRows  = 100_000
	maxBatchBytes = 64 << 20
)

// DefaultConfig suits one process of 512 MB with a million known people and the default
// number of partitions; docs/operations.md has the sum.
func DefaultConfig() Config {
	return Config{
		EventsTopic: "agent.events",
		SystemTopic: "audit.system",
		Group:       "agentaudit-ingest",
		MaxRows:     20_000,
		MaxBytes:    8 << 20,
		Linger:      200 * time.Millisecond,
		Blocks:      5,
		Fields:      DefaultFieldPolicies(),
		Ledger:      ledger.DefaultConfig(),
	}
}

// Validate refuses what cannot work.
func (c Config) Validate() error {
	switch {
	case c.EventsTopic == "" || c.SystemTopic == "" || c.EventsTopic == c.SystemTopic:
		return errors.New("ingest: events and system topics must be named and differ")
	case c.Group == "":
		return errors.New("ingest: consumer group must be named")
	case c.MaxRows < 1 || c.MaxRows > maxBatchRows:
		return fmt.Errorf("ingest: batch of %d rows: must be 1 to %d", c.MaxRows, maxBatchRows)
	case c.MaxBytes < 1<<20 || c.MaxBytes > maxBatchBytes:
		return fmt.Errorf("ingest: batch of %d bytes: must be 1 MiB to %d", c.MaxBytes, maxBatchBytes)
	case c.Linger < 0:
		return errors.New("ingest: linger must not be negative")
	case c.Blocks < 1:
		return errors.New("ingest: at least one batch must fit in memory")
	}
	if err := c.Fields.validate(); err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return c.Ledger.Validate()
}
