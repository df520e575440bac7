package config

import (
	"regexp"
	"time"

	"github.com/agentaudit/agentaudit/internal/vault"
)

// Ingest turns Kafka records into sealed entries.
type Ingest struct {
	// Group is the consumer group. Its offsets are for lag tools; the place to continue at is in ClickHouse.
	Group    string         `yaml:"group"`
	Topics   IngestTopics   `yaml:"topics"`
	Batch    IngestBatch    `yaml:"batch"`
	Fields   IngestFields   `yaml:"fields"`
	Subjects IngestSubjects `yaml:"subjects"`
	Rejected IngestRejected `yaml:"rejected"`
	// MemoryLimit is what the Go heap is kept below (a soft limit): the process needs up to a quarter
	// more. Raise it with subjects.max_cached, at 212 bytes each, and with the batches in memory.
	// 0: nine tenths of the container's limit, if it has one. 128MiB to 1TiB.
	MemoryLimit ByteSize `yaml:"memory_limit"`
}

// IngestTopics are read and sealed, one log a partition.
type IngestTopics struct {
	// Events that agents' services send.
	Events string `yaml:"events"`
	// System records, signed by our own processes.
	System string `yaml:"system"`
}

// IngestBatch bounds one insert. Larger inserts cost ClickHouse less and hold more memory.
type IngestBatch struct {
	// MaxRows of one insert; 1 to 100000 (what deduplication as compare-and-swap is sound for).
	MaxRows int `yaml:"max_rows"`
	// MaxBytes of one insert as it is sent; 1MiB to 64MiB.
	MaxBytes ByteSize `yaml:"max_bytes"`
	// Linger is how long an insert waits for more records after its first; 0 to 10s.
	Linger time.Duration `yaml:"linger"`
	// InMemory is how many inserts are being filled or sent at once, over all partitions; 1 to 256.
	// Memory is about this many times max_bytes.
	InMemory int `yaml:"in_memory"`
}

// IngestFields says how a field stands in an entry and its columns:
// clear (as it came), search (a token that is equal across all subjects), subject (a token that is equal
// within one subject and dies with its key), sealed (in the encrypted content only).
type IngestFields struct {
	SessionID      string `yaml:"session_id"`
	ConversationID string `yaml:"conversation_id"`
	SourceIP       string `yaml:"source_ip"`
	ResourceID     string `yaml:"resource_id"`
	// Attributes are clear or sealed.
	Attributes string `yaml:"attributes"`
}

// IngestSubjects bounds the cache of people and their keys.
type IngestSubjects struct {
	// MaxCached subjects, about 212 bytes each; 8192 to 100000000.
	MaxCached int `yaml:"max_cached"`
}

// IngestRejected is about records that could not be accepted.
type IngestRejected struct {
	// KeepDays until the key of the day, and with it their bytes, is destroyed; 1 to 3650.
	KeepDays int `yaml:"keep_days"`
}

func defaultIngest() Ingest {
	return Ingest{
		Group:    "agentaudit-ingest",
		Topics:   IngestTopics{Events: "agent.events", System: "audit.system"},
		Batch:    IngestBatch{MaxRows: 20000, MaxBytes: 8 << 20, Linger: 200 * time.Millisecond, InMemory: 5},
		Fields:   IngestFields{SessionID: "subject", ConversationID: "subject", SourceIP: "subject", ResourceID: "search", Attributes: "clear"},
		Subjects: IngestSubjects{MaxCached: 1_000_000},
		Rejected: IngestRejected{KeepDays: 30},
		// A million subjects with the default batches, in a process of 512 MB.
		MemoryLimit: 380 << 20,
	}
}

// topicName is Kafka's own rule, without the length that a log's name needs besides.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,200}$`)

func (in *Ingest) validate() error {
	if in.Group == "" {
		return wrong("ingest.group", "", "a name")
	}
	for _, topic := range []struct{ key, name string }{
		{"ingest.topics.events", in.Topics.Events},
		{"ingest.topics.system", in.Topics.System},
	} {
		if !topicName.MatchString(topic.name) || topic.name == "." || topic.name == ".." {
			return wrong(topic.key, topic.name, "1 to 200 letters, digits, dots, underscores and hyphens")
		}
	}
	if in.Topics.Events == in.Topics.System {
		return wrong("ingest.topics.system", in.Topics.System, "another topic than ingest.topics.events")
	}
	tokens := []string{"clear", "search", "subject", "sealed"}
	return first(
		func() error { return between("ingest.batch.max_rows", in.Batch.MaxRows, 1, 100_000) },
		func() error { return sized("ingest.batch.max_bytes", in.Batch.MaxBytes, 1<<20, 64<<20) },
		func() error { return within("ingest.batch.linger", in.Batch.Linger, 0, 10*time.Second) },
		func() error { return between("ingest.batch.in_memory", in.Batch.InMemory, 1, 256) },
		func() error { return oneOf("ingest.fields.session_id", in.Fields.SessionID, tokens...) },
		func() error { return oneOf("ingest.fields.conversation_id", in.Fields.ConversationID, tokens...) },
		func() error { return oneOf("ingest.fields.source_ip", in.Fields.SourceIP, tokens...) },
		func() error { return oneOf("ingest.fields.resource_id", in.Fields.ResourceID, tokens...) },
		func() error { return oneOf("ingest.fields.attributes", in.Fields.Attributes, "clear", "sealed") },
		func() error { return between("ingest.subjects.max_cached", in.Subjects.MaxCached, 8192, 100_000_000) },
		func() error { return between("ingest.rejected.keep_days", in.Rejected.KeepDays, 1, 3650) },
		func() error { return memoryLimit("ingest.memory_limit", in.MemoryLimit) },
		in.fits,
	)
}

// fits refuses a limit that the cache alone would exceed when it is full: the garbage
// collector would then run without end.
func (in *Ingest) fits() error {
	need := ByteSize(in.Subjects.MaxCached)*vault.BytesPerSubject + ByteSize(in.Batch.InMemory)*in.Batch.MaxBytes
	if in.MemoryLimit != 0 && in.MemoryLimit < need {
		return wrong("ingest.memory_limit", in.MemoryLimit.String(), "at least "+need.String()+" for ingest.subjects.max_cached and ingest.batch, or 0")
	}
	return nil
}
