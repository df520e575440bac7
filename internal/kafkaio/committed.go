package kafkaio

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// Committed returns the offset that a group committed last for a partition, and false if there is none. It is what Assignment.Commit noted up to a
// second before the group's member ended, so some records were seen that lie behind it.
func (c *Client) Committed(ctx context.Context, group, topic string, partition int) (next int64, ok bool, err error) {
	next = -1
	err = c.retry(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
		defer cancel()
		res, err := c.kafka.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {partition}}})
		if err != nil {
			return err
		}
		if errors.Is(res.Error, kafka.GroupIdNotFound) {
			return nil // nobody has ever committed for it; Kafka itself answers with no offset
		}
		if res.Error != nil {
			return res.Error
		}
		for _, p := range res.Topics[topic] {
			if p.Partition != partition {
				continue
			}
			next = p.CommittedOffset
			return p.Error
		}
		return fmt.Errorf("the answer has no %s/%d", topic, partition)
	})
	if err != nil {
		return 0, false, fmt.Errorf("read what group %s committed for %s/%d: %w", group, topic, partition, err)
	}
	return max(next, 0), next >= 0, nil
}

// CommitAlone commits offsets for a group that has no members: of a reader that is alone by other means than the group's and wants tools to see its lag. It fails
// while the group has members.
func (c *Client) CommitAlone(ctx context.Context, group, topic string, next map[int]int64) error {
	commits := make([]kafka.OffsetCommit, 0, len(next))
	for partition, offset := range next {
		commits = append(commits, kafka.OffsetCommit{Partition: partition, Offset: offset})
	}
	err := c.retry(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
		defer cancel()
		res, err := c.kafka.OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: group, GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{topic: commits}})
		if err != nil {
			return err
		}
		for _, partitions := range res.Topics {
			for _, p := range partitions {
				if p.Error != nil {
					return p.Error
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("commit offsets of %s for group %s: %w", topic, group, err)
	}
	return nil
}
