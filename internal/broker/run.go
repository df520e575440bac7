package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/agentaudit/agentaudit/internal/dirlock"
)

const (
	// segmentBytes bounds a segment file, and with it the memory that checking one takes at start.
	segmentBytes = 64 << 20
	// never, in milliseconds, keeps kfake's own retention off: see retention.go.
	never = 1 << 42
)

// storeDir is kfake's directory below Config.Dir.
const storeDir = "store"

// Run serves until ctx ends, then writes its state out and returns nil.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return err
	}
	lock, err := dirlock.Take(cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()

	started := time.Now()
	cluster, address, err := open(&cfg)
	if err != nil {
		return err
	}
	defer cluster.Close()
	if err := createTopics(cluster, cfg.Topics, cfg.Log); err != nil {
		return err
	}
	cfg.Log.Info("broker started", slog.String("address", address), slog.String("dir", cfg.Dir), slog.Duration("took", time.Since(started)))
	if cfg.Ready != nil {
		cfg.Ready(address)
	}
	<-ctx.Done()
	cluster.Close()
	cfg.Log.Info("broker closed")
	return nil
}

// open loads what is stored and listens.
func open(cfg *Config) (*kfake.Cluster, string, error) {
	host, portText, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, "", fmt.Errorf("broker.listen: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, "", fmt.Errorf("broker.listen: %w", err)
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.Ports(port),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			// kfake asks for 127.0.0.1.
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			l, err := net.Listen(network, net.JoinHostPort(host, port))
			if err != nil {
				return nil, fmt.Errorf("broker.listen: %w", err)
			}
			return l, nil
		}),
		kfake.ClusterID("agentaudit-embedded"),
		kfake.DataDir(filepath.Join(cfg.Dir, storeDir)),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.WithLogger(kfakeLog{cfg.Log}),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":      strconv.Itoa(segmentBytes),
			"log.cleaner.backoff.ms": strconv.Itoa(never),
			"message.max.bytes":      strconv.Itoa(maxBatchBytes),
		}),
	}
	if cfg.AutoCreateTopics {
		opts = append(opts, kfake.AllowAutoTopicCreation())
	}
	if cfg.syncEachBatch() {
		opts = append(opts, kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, "", fmt.Errorf("start the broker in %s: %w", cfg.Dir, err)
	}
	return cluster, cluster.ListenAddrs()[0], nil
}

// maxBatchBytes is the largest batch that is accepted: a record of 1 MiB with its key and headers,
// and clients that batch generously.
const maxBatchBytes = 4 << 20

// createTopics creates those that are missing.
func createTopics(cluster *kfake.Cluster, topics []Topic, log *slog.Logger) error {
	for _, t := range topics {
		err := cluster.CreateTopic(t.Name, int32(t.Partitions), t.kafkaConfigs())
		switch {
		case err == nil:
			log.Info("topic created", slog.String("topic", t.Name), slog.Int("partitions", t.Partitions))
		case errors.Is(err, kerr.TopicAlreadyExists):
			if n := len(cluster.PartitionInfos(t.Name)); n != t.Partitions {
				log.Warn("a stored topic keeps its number of partitions", slog.String("topic", t.Name), slog.Int("stored", n), slog.Int("configured", t.Partitions))
			}
		default:
			return fmt.Errorf("create topic %s: %w", t.Name, err)
		}
	}
	return nil
}

// kfakeLog passes on what kfake finds worth a warning. Its messages name topics, partitions and
// files.
type kfakeLog struct{ log *slog.Logger }

func (k kfakeLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		k.log.Error("kfake: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
	case kfake.LogLevelWarn:
		k.log.Warn("kfake: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
