package kafkaio

import (
	"context"
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
