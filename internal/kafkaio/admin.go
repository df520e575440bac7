package kafkaio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// ErrNoTopic: the cluster does not know the topic, or not the partition.
var ErrNoTopic = errors.New("no such topic or partition")

// Ping asks a broker for the cluster's metadata over a new connection: nil means that Kafka answers.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.describe(ctx)
	return err
}

// ClusterID returns the name that the cluster gave itself.
func (c *Client) ClusterID(ctx context.Context) (string, error) {
	var id string
	err := c.retry(ctx, func(ctx context.Context) error {
		res, err := c.describe(ctx)
		if err == nil {
			id = res.ClusterID
		}
		return err
	})
	return id, err
}

// Partitions returns how many partitions a topic has; ErrNoTopic if it does not exist.
func (c *Client) Partitions(ctx context.Context, topic string) (int, error) {
	var n int
	err := c.retry(ctx, func(ctx context.Context) error {
		counts, err := c.counts(ctx, topic)
		n = counts[topic]
		return err
	})
	if err == nil && n == 0 {
		err = ErrNoTopic
	}
	if err != nil {
		return 0, fmt.Errorf("count partitions of %s: %w", topic, err)
	}
	return n, nil
}

// counts asks once for the numbers of partitions; those of unknown topics are 0.
func (c *Client) counts(ctx context.Context, topics ...string) (map[string]int, error) {
	res, err := c.describe(ctx, topics...)
	if err != nil {
		return nil, err
	}
	n := make(map[string]int, len(topics))
	for _, t := range res.Topics {
		switch code := kafka.Error(t.ErrorCode); {
		case t.ErrorCode == 0:
			n[t.Name] = len(t.Partitions)
		case code != kafka.UnknownTopicOrPartition:
			return nil, fmt.Errorf("topic %s: %w", t.Name, code)
		}
	}
	return n, nil
}

// Offsets returns the first offset of a partition and the one after its last record (its high watermark).
func (c *Client) Offsets(ctx context.Context, topic string, partition int) (start, end int64, err error) {
	err = c.retry(ctx, func(ctx context.Context) error {
		addr, err := c.leader(ctx, topic, partition)
		if err != nil {
			return err
		}
		l, err := c.connect(ctx, addr)
		if err != nil {
			return err
		}
		defer l.close()
		if start, err = l.offset(topic, partition, kafka.FirstOffset, c.cfg.RequestTimeout); err != nil {
			return err
		}
		end, err = l.offset(topic, partition, kafka.LastOffset, c.cfg.RequestTimeout)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("read offsets of %s/%d: %w", topic, partition, err)
	}
	return start, end, nil
}

// offset asks the leader where the log begins or ends. kafka-go's Client.ListOffsets says 0 where the answer lacks a partition.
func (l *link) offset(topic string, partition int, which int64, patience time.Duration) (int64, error) {
	if err := l.net.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	m, err := l.proto.RoundTrip(&listoffsets.Request{
		ReplicaID: -1,
		Topics: []listoffsets.RequestTopic{{
			Topic:      topic,
			Partitions: []listoffsets.RequestPartition{{Partition: int32(partition), CurrentLeaderEpoch: -1, Timestamp: which}},
		}},
	})
	if err != nil {
		return 0, err
	}
	for _, t := range m.(*listoffsets.Response).Topics {
		for _, p := range t.Partitions {
			switch {
			case t.Topic != topic || int(p.Partition) != partition:
			case p.ErrorCode != 0:
				return 0, kafka.Error(p.ErrorCode)
			case p.Offset >= 0:
				return p.Offset, nil
			}
		}
	}
	return 0, fmt.Errorf("broker %s did not say", l.addr)
}

// TopicSpec describes a topic to make.
type TopicSpec struct {
	Name              string
	Partitions        int
	ReplicationFactor int               // 0 or -1: the cluster's default
	Configs           map[string]string // retention.ms, max.message.bytes …
}

// topicName is what Kafka allows.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// EnsureTopics makes the topics that do not exist and waits until all can be used. Those that exist stay as they are.
func (c *Client) EnsureTopics(ctx context.Context, topics []TopicSpec) error {
	names := make([]string, len(topics))
	for i := range topics {
		names[i] = topics[i].Name
		if !topicName.MatchString(topics[i].Name) || topics[i].Partitions < 1 {
			return fmt.Errorf("make topic %q with %d partitions: want a name of letters, digits, '.', '_' and '-', and at least one", topics[i].Name, topics[i].Partitions)
		}
	}
	if len(topics) == 0 {
		return nil
	}
	err := c.retry(ctx, func(ctx context.Context) error {
		there, err := c.counts(ctx, names...)
		if err != nil {
			return err
		}
		for i := range topics {
			if there[topics[i].Name] > 0 {
				continue
			}
			if err := c.makeTopic(ctx, &topics[i]); err != nil {
				return err
			}
		}
		return c.led(ctx, names)
	})
	if err != nil {
		return fmt.Errorf("make topics: %w", err)
	}
	return nil
}

func (c *Client) makeTopic(ctx context.Context, spec *TopicSpec) error {
	topic := kafka.TopicConfig{Topic: spec.Name, NumPartitions: spec.Partitions, ReplicationFactor: cmp.Or(spec.ReplicationFactor, -1)}
	for name, value := range spec.Configs {
		topic.ConfigEntries = append(topic.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	res, err := c.kafka.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
	if err == nil {
		err = res.Errors[spec.Name]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("%s: %w", spec.Name, err)
	}
	return nil
}

// led returns an error as long as a partition has no leader.
func (c *Client) led(ctx context.Context, topics []string) error {
	res, err := c.describe(ctx, topics...)
	if err != nil {
		return err
	}
	for _, t := range res.Topics {
		if t.ErrorCode != 0 {
			return &pending{t.Name, kafka.Error(t.ErrorCode)}
		}
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 || p.LeaderID < 0 {
				return &pending{t.Name, kafka.LeaderNotAvailable}
			}
		}
	}
	return nil
}

// pending: a topic was made but cannot be used yet.
type pending struct {
	topic string
	code  kafka.Error
}

func (e *pending) Error() string { return fmt.Sprintf("%s is not ready: %v", e.topic, e.code) }
