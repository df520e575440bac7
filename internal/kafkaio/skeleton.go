package kafkaio

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var errUnbuilt = errors.New("not built yet")

type response struct{}

func (b *Batch) recycle() {}

func compressionOf(string) (int, error) { return 0, nil }

// Deps are what a Client needs from the process.
type Deps struct {
	Logger  *slog.Logger          // nil: nothing is logged
	Metrics prometheus.Registerer // nil: nothing is registered
}

// Client speaks to one cluster. It is safe for concurrent use.
type Client struct {
	cfg  Config
	deps Deps
}

// New checks the config and reads the files it names. It connects to nothing.
func New(cfg Config, deps Deps) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Client{cfg: cfg, deps: deps}, nil
}

// Close ends idle connections. Follow, Group.Run and Produce must have returned.
func (c *Client) Close() {}

// Ping asks a broker for the cluster's metadata over a new connection: nil means that Kafka answers.
func (c *Client) Ping(ctx context.Context) error { return errUnbuilt }

// Follow delivers the records of a partition from an offset on to out, in order and without skipping any, until ctx ends (then it returns nil)
// or it must not go on: *OffsetError (gap, rewind) or *CorruptError. Everything else (brokers away, leaders moving, connections that
// hang) it outlasts with backoff. At most FetchDepth delivered batches are out at a time: the caller releases each.
// It does not close out. Offsets below the wanted one are never delivered.
func (c *Client) Follow(ctx context.Context, topic string, partition int, from int64, out chan<- *Batch) error {
	return errUnbuilt
}

// RecordAt reads the record at an offset into memory of its own. ok is false if the log has no record there (deleted, not
// written yet, compacted away, or a transaction's marker).
func (c *Client) RecordAt(ctx context.Context, topic string, partition int, offset int64) (r Record, ok bool, err error) {
	return Record{}, false, errUnbuilt
}

// Offsets returns the first offset of a partition and the one after its last record (its high watermark).
func (c *Client) Offsets(ctx context.Context, topic string, partition int) (start, end int64, err error) {
	return 0, 0, errUnbuilt
}

// Partitions returns how many partitions a topic has; ErrNoTopic if it does not exist.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) { return 0, errUnbuilt }

// ErrNoTopic: the cluster does not know the topic.
var ErrNoTopic = errors.New("no such topic")

// ClusterID returns the name that the cluster gave itself.
func (c *Client) ClusterID(ctx context.Context) (string, error) { return "", errUnbuilt }

// TopicSpec describes a topic to make.
type TopicSpec struct {
	Name              string
	Partitions        int
	ReplicationFactor int               // -1: the cluster's default
	Configs           map[string]string // retention.ms, max.message.bytes …
}

// EnsureTopics makes the topics that do not exist and waits until they can be used. Those that exist stay as they are.
func (c *Client) EnsureTopics(ctx context.Context, topics []TopicSpec) error { return errUnbuilt }

// Message is a record to produce.
type Message struct {
	Key, Value []byte // nil is Kafka's null
	Headers    []Header
	Time       time.Time // zero: now
}

// Produce sends messages to the partitions that their keys name, as Java's clients would, and returns when all in-sync replicas have
// them all. Kafka-go has no idempotent producer: after a lost answer a batch is sent again, so records can be doubled, never lost, when nil
// is returned. After an error each message may or may not be there. Messages of one key keep their order.
func (c *Client) Produce(ctx context.Context, topic string, messages []Message) error {
	return errUnbuilt
}

// GroupConfig is one member of a consumer group. Zero values mean the defaults.
type GroupConfig struct {
	ID     string
	Topics []string
	// Assign is "sticky" (default: partitions move as little as possible) or "range". Members must have one in common.
	Assign string
	// SessionTimeout is how long a dead member keeps its partitions. Default 6 s (Kafka's own minimum), up to 5 min.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long works may take to end when partitions move. Default 10 s.
	RebalanceTimeout time.Duration
	// CommitEvery is how often offsets are committed, for lag tools. Default 1 s.
	CommitEvery time.Duration
	// WatchPartitionsEvery is how often new partitions are looked for. Default 5 s.
	WatchPartitionsEvery time.Duration
}

// Assignment is one partition that is this member's for one generation of the group.
type Assignment struct {
	Topic      string
	Partition  int
	Generation int

	position *position
}

type position struct{}

// Commit notes the offset to be committed next. It does no I/O; what is noted is sent once a second and when the generation ends.
// It is advice for lag tools: the place to continue at is the caller's to know.
func (a Assignment) Commit(next int64) {}

// Group is a member of a consumer group.
type Group struct{ cfg GroupConfig }

// NewGroup checks the config. It connects to nothing.
func (c *Client) NewGroup(cfg GroupConfig) (*Group, error) { return &Group{cfg}, nil }

// Run takes part in the group until ctx ends, then leaves it and returns nil within 10 s, provided that the works end at once.
// It calls work once for each assigned partition of each generation, each in its own goroutine. The work's ctx ends with the generation:
// when partitions move, when heartbeats fail, or when this process finds that it slept longer than the session lasts. A work that returns parks its
// partition until the next generation (its error is logged); the others go on. All works have returned before the next generation begins.
func (g *Group) Run(ctx context.Context, work func(ctx context.Context, a Assignment) error) error {
	return errUnbuilt
}

// Assigned returns how many partitions this member has now.
func (g *Group) Assigned() int { return 0 }
