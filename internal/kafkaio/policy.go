package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// cleanupPolicy is the topic's setting that says how old records go.
const cleanupPolicy = "cleanup.policy"

// ErrNotTold: the cluster does not say how a topic is set up, and asking again does not help: it does not know the topic, or this user may not
// ask (DescribeConfigs).
var ErrNotTold = errors.New("the cluster does not say how the topic is set up")

// PolicyError says that a topic is compacted: a record goes as soon as a newer one has its key, read or not, and nothing tells that it was there.
type PolicyError struct{ Topic, Policy string }

func (e *PolicyError) Error() string {
	return fmt.Sprintf("topic %s has %s=%s: Kafka removes its records before they are read when newer ones have their keys; "+
		"set it back: kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name %s --add-config %s=delete",
		e.Topic, cleanupPolicy, e.Policy, e.Topic, cleanupPolicy)
}

// CheckTopic returns nil if a topic keeps every record until its retention ends, *PolicyError if it does not, and ErrNotTold if that cannot be found out.
// Other errors may pass.
func (c *Client) CheckTopic(ctx context.Context, topic string) error {
	var policy string
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		policy, err = c.topicSetting(ctx, topic, cleanupPolicy)
		return err
	})
	switch {
	case err != nil && final(err):
		return fmt.Errorf("%w: read %s of %s: %w", ErrNotTold, cleanupPolicy, topic, err)
	case err != nil:
		return fmt.Errorf("read %s of %s: %w", cleanupPolicy, topic, err)
	case policy == "":
		return fmt.Errorf("%w: the answer lacks %s of %s", ErrNotTold, cleanupPolicy, topic)
	case strings.Contains(policy, "compact"): // "compact", "compact,delete"
		return &PolicyError{topic, policy}
	}
	return nil
}

// topicSetting asks once for a setting as it is in effect, defaults included; "" if the answer lacks it.
func (c *Client) topicSetting(ctx context.Context, topic, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	res, err := c.kafka.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{name}},
	}})
	if err != nil {
		return "", err
	}
	for _, r := range res.Resources {
		if r.ResourceName != topic {
			continue
		}
		if errors.Is(r.Error, kafka.UnknownTopicOrPartition) {
			return "", ErrNoTopic
		}
		if r.Error != nil {
			return "", r.Error
		}
		for _, entry := range r.ConfigEntries {
			if entry.ConfigName == name {
				return entry.ConfigValue, nil
			}
		}
	}
	return "", nil
}

// Retention returns how long a topic keeps its records after they came; 0: for ever. ErrNotTold if that cannot be found out. Kafka removes whole segments, so
// records stay up to a segment's time longer.
func (c *Client) Retention(ctx context.Context, topic string) (time.Duration, error) {
	var value string
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		value, err = c.topicSetting(ctx, topic, "retention.ms")
		return err
	})
	if err != nil && !final(err) {
		return 0, fmt.Errorf("read retention.ms of %s: %w", topic, err)
	}
	millis, parseErr := strconv.ParseInt(value, 10, 64)
	if err != nil || parseErr != nil {
		return 0, fmt.Errorf("%w: read retention.ms of %s: %w", ErrNotTold, topic, errors.Join(err, parseErr))
	}
	if millis < 0 || millis > math.MaxInt64/int64(time.Millisecond) {
		return 0, nil
	}
	return time.Duration(millis) * time.Millisecond, nil
}
