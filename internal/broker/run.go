package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/agentaudit/agentaudit/internal/dirlock"
)

const (
	// storeDir is kfake's directory below Config.Dir.
	storeDir = "store"
	// segmentBytes bounds a segment file, and with it the memory that a start takes: kfake reads one
	// segment of each partition at a time.
	segmentBytes = 16 << 20
	// maxBatchBytes is the largest batch that is accepted: a record of 1 MiB with its key and
	// headers, and clients that batch generously.
	maxBatchBytes = 4 << 20
	// neverMillis keeps kfake's own retention off: see retention.
	neverMillis = 1 << 42
)

// Run serves until ctx ends, then writes its state out and returns nil. After an error the process
// must end: what could not be written is not to be built upon.
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
	store := filepath.Join(cfg.Dir, storeDir)
	if err := recoverStore(store, cfg.Log); err != nil {
		return err
	}
	failed := make(chan error, 1)
	cluster, address, err := open(&cfg, store, failed)
	if err != nil {
		return err
	}
	if err := createTopics(cluster, cfg.Topics, cfg.Log); err != nil {
		cluster.Close()
		return err
	}
	debug.FreeOSMemory() // loading has read every segment once, and left them as garbage
	cfg.Log.Info("broker started", slog.String("address", address), slog.String("dir", cfg.Dir), slog.Duration("took", time.Since(started)))
	if cfg.Ready != nil {
		cfg.Ready(address)
	}
	if err := serve(ctx, &cfg, cluster, store, address, failed); err != nil {
		return err // not closed: that would wait for kfake, which a failed write has stopped
	}
	cfg.Log.Info("broker closed")
	return nil
}

// serve keeps house until ctx ends or a write fails.
func serve(ctx context.Context, cfg *Config, cluster *kfake.Cluster, store, address string, failed <-chan error) error {
	t, err := newTracker(cluster, store)
	if err != nil {
		return err
	}
	kick := make(chan struct{}, 1)
	guardRequests(cluster, kick)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { // ends with ctx
		return keepHouse(ctx, t, newRetention(cluster, t, store, address, cfg.Log), kick)
	})
	g.Go(func() error { // ends with ctx, or ends it
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	if err := g.Wait(); err != nil {
		return err
	}
	cluster.Close()
	return t.closed()
}

// open loads what is stored and listens. A write that fails is reported on failed.
func open(cfg *Config, store string, failed chan<- error) (*kfake.Cluster, string, error) {
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
			_, port, err := net.SplitHostPort(address) // kfake asks for 127.0.0.1
			if err != nil {
				return nil, err
			}
			l, err := new(net.ListenConfig).Listen(context.Background(), network, net.JoinHostPort(host, port))
			if err != nil {
				return nil, fmt.Errorf("broker.listen: %w", err)
			}
			return newListener(l), nil
		}),
		kfake.ClusterID("agentaudit-embedded"),
		kfake.DataDir(store),
		kfake.DefaultNumPartitions(cfg.Partitions),
		kfake.WithLogger(kfakeLog{cfg.Log, failed}),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":      strconv.Itoa(segmentBytes),
			"log.cleaner.backoff.ms": strconv.Itoa(neverMillis),
			"message.max.bytes":      strconv.Itoa(maxBatchBytes),
		}),
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, "", fmt.Errorf("start the broker in %s: %w", cfg.Dir, err)
	}
	refuseRequests(cluster)
	return cluster, cluster.ListenAddrs()[0], nil
}

// guardRequests bounds the answers to fetches, and has the ends of partitions noted when a client
// deletes records.
func guardRequests(cluster *kfake.Cluster, kick chan<- struct{}) {
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if f, ok := req.(*kmsg.FetchRequest); ok {
			f.MaxBytes = min(f.MaxBytes, maxFetchBytes)
		}
		return nil, nil, false
	})
	cluster.ControlKey(int16(kmsg.DeleteRecords), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		select {
		case kick <- struct{}{}:
		default: // one is due already
		}
		return nil, nil, false
	})
}

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

// kfakeLog passes on what kfake finds worth a warning: names of topics, partitions and files.
type kfakeLog struct {
	log    *slog.Logger
	failed chan<- error
}

// persistFailed begins kfake's messages about a batch that it could not store. It says so before it
// answers the producer, and in the one goroutine that answers all.
const persistFailed = "persist batch"

func (k kfakeLog) Logf(level kfake.LogLevel, format string, args ...any) {
	message := strings.TrimSpace(fmt.Sprintf(format, args...))
	switch level {
	case kfake.LogLevelError:
		k.log.Error("kfake: " + message)
	case kfake.LogLevelWarn:
		k.log.Warn("kfake: " + message)
	}
	if strings.HasPrefix(message, persistFailed) {
		select {
		case k.failed <- fmt.Errorf("records cannot be stored: %s", message):
		default: // reported already
		}
		select {} // no further answer: the process ends by Run's error
	}
}
