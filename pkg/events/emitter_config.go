package events

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// EmitterConfig says where events go and what they wait in. Start from
// DefaultEmitterConfig: zero durations and sizes are refused, not replaced.
type EmitterConfig struct {
	// Brokers are the host:port addresses of some of the cluster's brokers.
	Brokers []string
	// Topic that events are sent to; it must exist.
	Topic string
	// ClientID is what the brokers see in their logs and quotas.
	ClientID string
	// TLS is used if set; ServerName is filled in for each broker.
	TLS *tls.Config
	// SASL is used if set.
	SASL *SASL

	// ProducerName is put before the random part of producer.id, so that a gap in
	// producer.seq can be traced to a service. Public: no personal data. May be
	// empty.
	ProducerName string

	// Linger is how long the first event of a batch waits for others. An
	// EmitSync or Flush does not wait for it.
	Linger time.Duration
	// BatchRecords is the most that one round of requests carries.
	BatchRecords int
	// BatchBytes limits one request to one partition, before compression; keep
	// it below the topic's max.message.bytes.
	BatchBytes int
	// Compression of requests: none, gzip, snappy, lz4 or zstd.
	Compression string
	// MaxEventBytes limits a single event; at most MaxRecordBytes. Larger ones
	// are refused by Emit. The default fits a broker with Kafka's default
	// message.max.bytes, which counts the batch around the record too.
	MaxEventBytes int
	// RequestTimeout ends a request that got no answer. It may have been carried
	// out all the same: it is sent again, and its events may be in Kafka twice.
	RequestTimeout time.Duration
	// MaxBackoff is the longest pause between attempts while Kafka is away.
	MaxBackoff time.Duration

	// QueueRecords and QueueBytes bound what waits in memory.
	QueueRecords int
	QueueBytes   int

	// WhenFull is what Emit does when neither queue nor spool has room.
	WhenFull FullPolicy

	// SpoolDir is the directory of the spool; empty: none, events wait in memory
	// only. It belongs to one process at a time, and what is in it goes to the Topic
	// of whoever drains it.
	SpoolDir string
	// SpoolKey encrypts the spool (32 bytes, AES-256-GCM). Needed with SpoolDir.
	SpoolKey []byte
	// SpoolOldKeys still open what was written under an earlier SpoolKey.
	SpoolOldKeys [][]byte
	// SpoolMaxBytes bounds the spool's files. At least four times QueueBytes.
	SpoolMaxBytes int64
	// SpoolMaxAge is how long an event may wait in the spool; then it is given up,
	// counted, and passed to OnDrop. Within the process that accepted it the
	// monotonic clock decides. What an earlier process left is judged by the
	// system's clock, once that has not jumped for an hour (or SpoolMaxAge, if
	// that is less), and given up at the latest when this process has run for
	// SpoolMaxAge.
	SpoolMaxAge time.Duration
	// SpoolAfter is how long an event waits in memory for Kafka's acknowledgement
	// before it goes to the spool.
	SpoolAfter time.Duration
	// SpoolSyncEvery is how often the spool is synced to disk (fsync) while it is
	// written to. A killed process loses nothing of the spool; a power loss at
	// most what was written since.
	SpoolSyncEvery time.Duration
}

// SASL is how to log in to Kafka.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username  string
	Password  string
}

// FullPolicy is what Emit does when there is no room.
type FullPolicy uint8

const (
	// RefuseWhenFull returns ErrQueueFull or ErrSpoolFull at once: the caller
	// decides whether the agent may go on without its audit trail.
	RefuseWhenFull FullPolicy = iota
	// WaitWhenFull waits for room until the context of Emit ends.
	WaitWhenFull
)

// EmitterDeps are what an Emitter works with; all may be left out.
type EmitterDeps struct {
	// Metrics gets the emitter's collector. A process with several emitters
	// gives each a registerer with a label of its own
	// (prometheus.WrapRegistererWith).
	Metrics prometheus.Registerer
	// Logger hears when Kafka goes and comes back, and of every loss. It never
	// gets content, identities or keys.
	Logger *slog.Logger
	// Dial opens connections in place of a net.Dialer, to go through a proxy,
	// say.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// OnDrop is called with each event that was accepted and then given up, and
	// why (ErrRefused, ErrExpired). It is called from the sending goroutine,
	// which waits for it.
	OnDrop func(record []byte, err error)
}

// DefaultEmitterConfig is for a service that sends up to some thousands of
// events a second. Brokers are missing, and there is no spool.
func DefaultEmitterConfig() EmitterConfig {
	return EmitterConfig{
		Topic:          "agent.events",
		ClientID:       "agentaudit-emitter",
		Linger:         5 * time.Millisecond,
		BatchRecords:   4096,
		BatchBytes:     900_000,
		Compression:    "none",
		MaxEventBytes:  1_000_000,
		RequestTimeout: 10 * time.Second,
		MaxBackoff:     5 * time.Second,
		QueueRecords:   32_768,
		QueueBytes:     32 << 20,
		SpoolMaxBytes:  1 << 30,
		SpoolMaxAge:    7 * 24 * time.Hour,
		SpoolAfter:     time.Second,
		SpoolSyncEvery: 100 * time.Millisecond,
	}
}

// Validate says what is wrong, naming the field.
func (c *EmitterConfig) Validate() error {
	switch {
	case len(c.Brokers) == 0 || slices.Contains(c.Brokers, ""):
		return errors.New("EmitterConfig.Brokers: name at least one broker as host:port")
	case c.Topic == "":
		return errors.New("EmitterConfig.Topic: must not be empty")
	case len(c.ProducerName) > maxNameBytes-40:
		return fmt.Errorf("EmitterConfig.ProducerName: longer than %d bytes", maxNameBytes-40)
	case c.Linger < 0 || c.Linger > time.Minute:
		return errors.New("EmitterConfig.Linger: must be between 0 and 1m")
	case c.MaxEventBytes < 1024 || c.MaxEventBytes > MaxRecordBytes:
		return fmt.Errorf("EmitterConfig.MaxEventBytes: must be between 1024 and %d", MaxRecordBytes)
	case c.BatchRecords < 1:
		return errors.New("EmitterConfig.BatchRecords: must be at least 1")
	case c.BatchBytes < 1024:
		return errors.New("EmitterConfig.BatchBytes: must be at least 1024")
	case c.RequestTimeout <= 0:
		return errors.New("EmitterConfig.RequestTimeout: must be positive")
	case c.MaxBackoff < minBackoff:
		return fmt.Errorf("EmitterConfig.MaxBackoff: must be at least %s", minBackoff)
	case c.QueueRecords < 1:
		return errors.New("EmitterConfig.QueueRecords: must be at least 1")
	case c.QueueBytes < 2*MaxRecordBytes:
		return fmt.Errorf("EmitterConfig.QueueBytes: must be at least %d, so that any record fits", 2*MaxRecordBytes)
	case c.WhenFull > WaitWhenFull:
		return errors.New("EmitterConfig.WhenFull: unknown policy")
	}
	if _, err := c.compression(); err != nil {
		return err
	}
	if _, err := c.mechanism(); err != nil {
		return err
	}
	if c.SpoolDir == "" {
		return nil
	}
	switch {
	case len(c.SpoolKey) != 32:
		return fmt.Errorf("EmitterConfig.SpoolKey: must be 32 bytes, is %d", len(c.SpoolKey))
	case slices.ContainsFunc(c.SpoolOldKeys, func(k []byte) bool { return len(k) != 32 }):
		return errors.New("EmitterConfig.SpoolOldKeys: each must be 32 bytes")
	case c.SpoolMaxBytes < 4*int64(c.QueueBytes):
		// The queue moves to the spool in one piece, with the batch on its way.
		return fmt.Errorf("EmitterConfig.SpoolMaxBytes: must be at least four times QueueBytes, %d", 4*int64(c.QueueBytes))
	case c.SpoolMaxAge <= 0:
		return errors.New("EmitterConfig.SpoolMaxAge: must be positive")
	case c.SpoolAfter <= 0:
		return errors.New("EmitterConfig.SpoolAfter: must be positive")
	case c.SpoolSyncEvery <= 0:
		return errors.New("EmitterConfig.SpoolSyncEvery: must be positive")
	}
	return nil
}

func (c *EmitterConfig) compression() (kafka.Compression, error) {
	switch c.Compression {
	case "none":
		return 0, nil
	case "gzip":
		return kafka.Gzip, nil
	case "snappy":
		return kafka.Snappy, nil
	case "lz4":
		return kafka.Lz4, nil
	case "zstd":
		return kafka.Zstd, nil
	}
	return 0, errors.New("EmitterConfig.Compression: must be none, gzip, snappy, lz4 or zstd")
}

func (c *EmitterConfig) mechanism() (sasl.Mechanism, error) {
	if c.SASL == nil {
		return nil, nil
	}
	var algorithm scram.Algorithm
	switch c.SASL.Mechanism {
	case "PLAIN":
		return plain.Mechanism{Username: c.SASL.Username, Password: c.SASL.Password}, nil
	case "SCRAM-SHA-256":
		algorithm = scram.SHA256
	case "SCRAM-SHA-512":
		algorithm = scram.SHA512
	default:
		return nil, errors.New("EmitterConfig.SASL.Mechanism: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	}
	m, err := scram.Mechanism(algorithm, c.SASL.Username, c.SASL.Password)
	if err != nil {
		// The library's error could quote the password.
		return nil, errors.New("EmitterConfig.SASL: user name or password is not allowed by SASLprep (RFC 4013)")
	}
	return m, nil
}
