package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// GroupConfig is one member of a consumer group. Zero values mean the defaults.
type GroupConfig struct {
	ID     string
	Topics []string
	// Assign is "sticky" (default: partitions move as little as possible) or "range". All members must say the same.
	Assign string
	// SessionTimeout is how long a dead member keeps its partitions. Default 6 s (Kafka's own minimum), up to 5 min.
	SessionTimeout time.Duration
	// RebalanceTimeout is how long works may take to end when partitions move. Default 10 s, up to 5 min.
	RebalanceTimeout time.Duration
	// CommitEvery is how often offsets are committed, for lag tools. Default 1 s, up to 1 min.
	CommitEvery time.Duration
	// WatchPartitionsEvery is how often new partitions are looked for. Default 5 s, up to 5 min.
	WatchPartitionsEvery time.Duration
}

// leaveWithin is what leaving the group may take at the end before its connections are cut.
const leaveWithin = 5 * time.Second

func (g *GroupConfig) complete() error {
	if g.ID == "" || len(g.Topics) == 0 {
		return errors.New("kafka group: want an id and at least one topic")
	}
	if g.Assign == "" {
		g.Assign = assignSticky
	}
	if g.Assign != assignSticky && g.Assign != assignRange {
		return fmt.Errorf("kafka group %s: assign %q: want sticky or range", g.ID, g.Assign)
	}
	for _, d := range []struct {
		name             string
		value            *time.Duration
		preset, from, to time.Duration
	}{
		{"session timeout", &g.SessionTimeout, 6 * time.Second, time.Second, 5 * time.Minute},
		{"rebalance timeout", &g.RebalanceTimeout, 10 * time.Second, time.Second, 5 * time.Minute},
		{"commit interval", &g.CommitEvery, time.Second, 100 * time.Millisecond, time.Minute},
		{"partition watch interval", &g.WatchPartitionsEvery, 5 * time.Second, 100 * time.Millisecond, 5 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.preset
		}
		if *d.value < d.from || *d.value > d.to {
			return fmt.Errorf("kafka group %s: %s %v: want %v to %v", g.ID, d.name, *d.value, d.from, d.to)
		}
	}
	return nil
}

// Assignment is one partition that is this member's for one generation of the group.
type Assignment struct {
	Topic      string
	Partition  int
	Generation int

	position *atomic.Int64 // to be committed; -1: nothing yet
}

// Commit notes the offset to be committed next. It does no I/O; what is noted is sent once a second and when the generation ends.
// It is advice for lag tools: the place to continue at is the caller's to know.
func (a Assignment) Commit(next int64) { a.position.Store(next) }

// Group is a member of a consumer group. Run may be called once.
type Group struct {
	client   *Client
	cfg      GroupConfig
	log      *slog.Logger
	sticky   *stickyBalancer
	leader   leaderNote
	conns    *cutter
	assigned atomic.Int64
}

// NewGroup checks the config. It connects to nothing.
func (c *Client) NewGroup(cfg GroupConfig) (*Group, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	return &Group{
		client: c,
		cfg:    cfg,
		log:    c.log.With("group", cfg.ID),
		sticky: new(stickyBalancer),
		conns:  newCutter(c.dial),
	}, nil
}

// Assigned returns how many partitions this member has now.
func (g *Group) Assigned() int { return int(g.assigned.Load()) }

// Run takes part in the group until ctx ends, then leaves it and returns nil within 10 s, provided that the works end at once.
// It calls work once for each assigned partition of each generation, each in its own goroutine. The work's ctx ends with the generation:
// when partitions move, when heartbeats fail, or when this process finds that it slept longer than the session lasts. A work that returns parks its
// partition until the next generation (its error is logged); the others go on. All works have returned before the next generation begins.
func (g *Group) Run(ctx context.Context, work func(ctx context.Context, a Assignment) error) error {
	members, err := kafka.NewConsumerGroup(g.config())
	if err != nil {
		return fmt.Errorf("kafka group %s: %w", g.cfg.ID, err)
	}
	// At the end the group is left first, and works end with their generation. Whoever leaves a cluster that does not answer is cut off.
	left := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(left)
		cut := time.AfterFunc(leaveWithin, g.conns.cut)
		defer cut.Stop()
		members.Close()
	})
	defer func() {
		if stop() {
			members.Close()
		} else {
			<-left
		}
	}()

	failing := false
	wait := newBackoff()
	for {
		gen, err := members.Next(ctx)
		switch {
		case ctx.Err() != nil || errors.Is(err, kafka.ErrGroupClosed):
			return nil
		case err != nil:
			// kafka-go waits JoinGroupBackoff before it tries again.
			g.client.metrics.joinErrors.WithLabelValues(g.cfg.ID).Inc()
			if !failing {
				g.log.Warn("joining the group failed, trying again", "error", err)
			}
			failing = true
			continue
		}
		failing = false
		ended := make(chan struct{})
		began := time.Now()
		gen.Start(func(genCtx context.Context) { // ends with the generation, and ends it
			defer close(ended)
			g.generation(ctx, genCtx, gen, work)
		})
		<-ended
		if time.Since(began) > time.Second {
			wait.Reset()
		} else if !sleep(ctx, wait.NextBackOff()) { // a generation that ends at once must not become a tight loop
			return nil
		}
	}
}

func (g *Group) config() kafka.ConsumerGroupConfig {
	c := g.client
	balancer := kafka.GroupBalancer(g.sticky)
	if g.cfg.Assign == assignRange {
		balancer = kafka.RangeGroupBalancer{}
	}
	return kafka.ConsumerGroupConfig{
		ID:      g.cfg.ID,
		Brokers: c.cfg.Brokers,
		Topics:  g.cfg.Topics,
		Dialer: &kafka.Dialer{
			ClientID:      c.cfg.ClientID,
			Timeout:       c.cfg.DialTimeout,
			DialFunc:      g.conns.dial,
			TLS:           c.tls,
			SASLMechanism: c.sasl,
		},
		GroupBalancers:    []kafka.GroupBalancer{noting{balancer, &g.leader}},
		HeartbeatInterval: g.cfg.SessionTimeout / 3,
		SessionTimeout:    g.cfg.SessionTimeout,
		RebalanceTimeout:  g.cfg.RebalanceTimeout,
		Timeout:           min(c.cfg.RequestTimeout, g.cfg.SessionTimeout/2),
		// Jitter, lest all members come back at the same moment.
		JoinGroupBackoff: 500*time.Millisecond + rand.N(time.Second),
		// New partitions are watched for here: kafka-go's watcher ends each generation at once as long as a topic is missing.
		WatchPartitionChanges: false,
	}
}
