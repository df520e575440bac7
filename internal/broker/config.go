package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
)

// Config is one embedded broker.
type Config struct {
	// Dir holds all records. One process at a time owns it.
	Dir string `json:"dir"`
	// Listen is host:port; port 0 takes a free one. There is neither TLS nor authentication, so only
	// loopback addresses are accepted.
	Listen string `json:"listen"`
	// Topics are created if they are missing. A stored topic keeps its partitions and its retention.
	Topics []Topic `json:"topics,omitempty"`
	// Partitions is the number for topics created by clients that name none (1 to 1024). 0: 4.
	Partitions int `json:"partitions,omitempty"`

	// Ready is called once with the address, as soon as requests are answered.
	Ready func(address string) `json:"-"`
	// Log receives what happens; nil discards it. It holds no record's content.
	Log *slog.Logger `json:"-"`
}

// Topic is a topic and how long its records are kept.
type Topic struct {
	Name       string `json:"name"`
	Partitions int    `json:"partitions"`
	// RetentionMillis is the age beyond which records are removed, by the time of arrival; they are
	// gone at the latest a tenth of it later (at least an hour). 0: a week. Negative: for ever.
	RetentionMillis int64 `json:"retention_millis,omitempty"`
	// RetentionBytes is the size beyond which a partition's oldest segments are removed. 0 or
	// negative: no limit.
	RetentionBytes int64 `json:"retention_bytes,omitempty"`
}

const (
	defaultPartitions      = 4
	maxPartitions          = 1024
	defaultRetentionMillis = 7 * 24 * 3600 * 1000
)

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// validTopic is Kafka's rule: a name is a folder's, too.
func validTopic(name string) bool {
	return topicName.MatchString(name) && name != "." && name != ".."
}

func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("broker.dir: must not be empty")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("broker.dir: %w", err)
	}
	c.Dir = dir
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return c, fmt.Errorf("broker.listen: %q is not host:port", c.Listen)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return c, fmt.Errorf("broker.listen: %q is not a loopback address: the broker has neither TLS nor authentication", c.Listen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return c, fmt.Errorf("broker.listen: %q is not a port between 0 and 65535", port)
	}
	if c.Partitions == 0 {
		c.Partitions = defaultPartitions
	}
	if c.Partitions < 1 || c.Partitions > maxPartitions {
		return c, fmt.Errorf("broker.partitions: %d is not between 1 and %d", c.Partitions, maxPartitions)
	}
	for i, t := range c.Topics {
		if !validTopic(t.Name) {
			return c, fmt.Errorf("broker.topics[%d].name: %q is not a topic name (letters, digits, . _ -)", i, t.Name)
		}
		if t.Partitions < 1 || t.Partitions > maxPartitions {
			return c, fmt.Errorf("broker.topics[%d].partitions: %d is not between 1 and %d", i, t.Partitions, maxPartitions)
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// kafkaConfigs are the topic's settings as Kafka names them.
func (t Topic) kafkaConfigs() map[string]string {
	ms := t.RetentionMillis
	if ms == 0 {
		ms = defaultRetentionMillis
	}
	bytes := t.RetentionBytes
	if bytes <= 0 {
		bytes = -1
	}
	return map[string]string{"retention.ms": strconv.FormatInt(max(ms, -1), 10), "retention.bytes": strconv.FormatInt(bytes, 10)}
}
