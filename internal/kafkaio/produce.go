package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

const (
	// produceBytes is what one request carries at most, unless it is a single message. Topics allow 1 MiB by default, less a header.
	produceBytes = 512 << 10
	// produceParallel bounds the partitions that one Produce sends to at a time.
	produceParallel = 8
)

// Message is a record to produce.
type Message struct {
	Key, Value []byte // nil is Kafka's null
	Headers    []Header
	Time       time.Time // zero: now
}

// Produce sends messages to the partitions that their keys name, as Java's clients would (murmur2), and returns when all in-sync replicas have
// them all. Messages of one key keep their order; those without a key go to one partition, any.
//
// kafka-go has no idempotent producer: after a lost answer a batch is sent again, for up to 30 s, so records may be doubled but none is lost
// when nil is returned. After an error each message may or may not be there, and may still arrive.
func (c *Client) Produce(ctx context.Context, topic string, messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	n, err := c.partitionsCached(ctx, topic)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(produceParallel)
	for partition, part := range byPartition(messages, n) {
		if len(part) > 0 {
			group.Go(func() error { return c.produceAll(ctx, topic, partition, part) }) // ends with its messages or ctx
		}
	}
	return group.Wait()
}

// ProduceTo is Produce for one partition, whatever the messages' keys.
func (c *Client) ProduceTo(ctx context.Context, topic string, partition int, messages []Message) error {
	part := make([]*Message, len(messages))
	for i := range messages {
		part[i] = &messages[i]
	}
	return c.produceAll(ctx, topic, partition, part)
}

// partitionsCached takes the number from kafka-go's cache if it knows the topic.
func (c *Client) partitionsCached(ctx context.Context, topic string) (int, error) {
	cached, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	res, err := c.kafka.Metadata(cached, &kafka.MetadataRequest{Topics: []string{topic}})
	cancel()
	if err == nil && len(res.Topics) == 1 && res.Topics[0].Error == nil && len(res.Topics[0].Partitions) > 0 {
		return len(res.Topics[0].Partitions), nil
	}
	return c.Partitions(ctx, topic)
}

// byPartition sorts messages, keeping their order.
func byPartition(messages []Message, partitions int) [][]*Message {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	keyless := rand.IntN(partitions)
	parts := make([][]*Message, partitions)
	for i := range messages {
		m := &messages[i]
		p := keyless
		if m.Key != nil {
			p = kafka.Murmur2Balancer{}.Balance(kafka.Message{Key: m.Key}, all...)
		}
		parts[p] = append(parts[p], m)
	}
	return parts
}

func (c *Client) produceAll(ctx context.Context, topic string, partition int, messages []*Message) error {
	for len(messages) > 0 {
		n, size := 0, 0
		for n < len(messages) {
			size += messages[n].sizeBytes()
			if n > 0 && size > produceBytes {
				break
			}
			n++
		}
		if err := c.produceBatch(ctx, topic, partition, messages[:n]); err != nil {
			return fmt.Errorf("produce %d records to %s/%d: %w", n, topic, partition, err)
		}
		messages = messages[n:]
	}
	return nil
}

func (c *Client) produceBatch(ctx context.Context, topic string, partition int, messages []*Message) error {
	sent := false
	err := c.retry(ctx, func(ctx context.Context) error {
		if sent {
			c.metrics.resent.WithLabelValues(topic).Inc()
		}
		sent = true
		ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
		defer cancel()
		res, err := c.kafka.Produce(ctx, &kafka.ProduceRequest{
			Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(toRecords(messages)...), // read once, so made for each try
		})
		if err != nil {
			return err
		}
		return res.Error
	})
	if errors.Is(err, kafka.MessageSizeTooLarge) && len(messages) > 1 {
		half := len(messages) / 2 // the topic allows less than we thought; a message alone must fit
		if err := c.produceBatch(ctx, topic, partition, messages[:half]); err != nil {
			return err
		}
		return c.produceBatch(ctx, topic, partition, messages[half:])
	}
	if err == nil {
		c.metrics.produced.WithLabelValues(topic).Add(float64(len(messages)))
	}
	return err
}

// sizeBytes is an upper bound of what the message takes in a batch, if its headers are short.
func (m *Message) sizeBytes() int {
	n := 32 + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

func toRecords(messages []*Message) []kafka.Record {
	records := make([]kafka.Record, len(messages))
	for i, m := range messages {
		records[i] = kafka.Record{Key: kafka.NewBytes(m.Key), Value: kafka.NewBytes(m.Value), Time: m.Time}
		for _, h := range m.Headers {
			records[i].Headers = append(records[i].Headers, kafka.Header{Key: string(h.Key), Value: h.Value})
		}
	}
	return records
}
