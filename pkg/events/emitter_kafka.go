package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// producer sends records with kafka-go's Client.Produce. Its Writer would retry
// some errors and not others (EOF, kafka-go #1352) and give up after ten; here
// one place decides.
type producer struct {
	client      *kafka.Client
	transport   *kafka.Transport
	conns       *connections
	topic       string
	compression kafka.Compression
	batchBytes  int
	timeout     time.Duration
}

// refusal is an event that is given up, and why.
type refusal struct {
	item item
	err  error
}

// sendResult is what became of the items of one send.
type sendResult struct {
	acked   int
	refused []refusal
	left    []item // in their order, to be sent again
	err     error  // why some are left
}

func newProducer(cfg *EmitterConfig, dial func(context.Context, string, string) (net.Conn, error)) (*producer, error) {
	compression, err := cfg.compression()
	if err != nil {
		return nil, err
	}
	mechanism, err := cfg.mechanism()
	if err != nil {
		return nil, err
	}
	if dial == nil {
		dial = (&net.Dialer{Timeout: 3 * time.Second}).DialContext
	}
	conns := &connections{dial: dial, open: make(map[*trackedConn]struct{})}
	transport := &kafka.Transport{
		Dial:           conns.Dial,
		ClientID:       cfg.ClientID,
		TLS:            cfg.TLS,
		SASL:           mechanism,
		MetadataTTL:    5 * time.Second,
		MetadataTopics: []string{cfg.Topic}, // else that of all topics is fetched again and again
	}
	return &producer{
		client:      &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: transport, Timeout: cfg.RequestTimeout},
		transport:   transport,
		conns:       conns,
		topic:       cfg.Topic,
		compression: compression,
		batchBytes:  cfg.BatchBytes,
		timeout:     cfg.RequestTimeout,
	}, nil
}

// close ends all connections, those in use too.
func (p *producer) close() {
	p.transport.CloseIdleConnections()
	p.conns.closeAll()
}

// send tries once to send all items, each partition's in order, and returns
// what became of them.
func (p *producer) send(ctx context.Context, items []item) sendResult {
	partitions, err := p.partitions(ctx)
	if err != nil {
		p.reset()
		return sendResult{left: items, err: err}
	}
	// Murmur2 as Java's and librdkafka's murmur2 partitioners have it, so that all
	// producers put a user into one partition.
	balancer := kafka.Murmur2Balancer{Consistent: true}
	lanes := make(map[int][]int) // partition to indexes of items
	for i := range items {
		to := balancer.Balance(kafka.Message{Key: items[i].key}, partitions...)
		lanes[to] = append(lanes[to], i)
	}

	fates := make([]fate, len(items))
	errs := make(chan error, len(lanes))
	var wg sync.WaitGroup
	for partition, lane := range lanes {
		wg.Go(func() { errs <- p.sendLane(ctx, partition, items, lane, fates) })
	}
	wg.Wait()
	close(errs)

	var res sendResult
	for err := range errs {
		if err != nil && res.err == nil {
			res.err = err
		}
	}
	if res.err != nil {
		p.reset()
	}
	for i := range items {
		switch {
		case fates[i].acked:
			res.acked++
		case fates[i].refused != nil:
			res.refused = append(res.refused, refusal{items[i], fates[i].refused})
		default:
			res.left = append(res.left, items[i])
		}
	}
	return res
}

// reset forgets pooled connections and the cluster's layout. The transport does
// neither by itself: after a broker's restart each dead connection would cost
// one more failure, and a moved leader be asked again.
func (p *producer) reset() { p.transport.CloseIdleConnections() }

// partitions returns the ids of the topic's partitions, from the transport's
// cache where it can.
func (p *producer) partitions(ctx context.Context) ([]int, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	meta, err := p.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{p.topic}})
	if err != nil {
		return nil, fmt.Errorf("find the partitions of %s: %w", p.topic, err)
	}
	for i := range meta.Topics {
		topic := &meta.Topics[i]
		if topic.Name != p.topic {
			continue
		}
		if topic.Error != nil {
			return nil, fmt.Errorf("find the partitions of %s: %w", p.topic, topic.Error)
		}
		ids := make([]int, len(topic.Partitions))
		for i := range topic.Partitions {
			ids[i] = topic.Partitions[i].ID
		}
		if len(ids) > 0 {
			return ids, nil
		}
	}
	return nil, fmt.Errorf("find the partitions of %s: the broker names none", p.topic)
}

// fate is what became of one item; neither: it is to be sent again.
type fate struct {
	acked   bool
	refused error
}

// sendLane sends the items of one partition, request after request, and stops
// at the first that fails.
func (p *producer) sendLane(ctx context.Context, partition int, items []item, lane []int, fates []fate) error {
	for len(lane) > 0 {
		n, size := 0, 0
		for n < len(lane) && (n == 0 || size+items[lane[n]].bytes() <= p.batchBytes) {
			size += items[lane[n]].bytes()
			n++
		}
		if err := p.sendBatch(ctx, partition, items, lane[:n], fates); err != nil {
			return err
		}
		lane = lane[n:]
	}
	return nil
}

// sendBatch sends one request. If Kafka refuses it for good it is halved until
// the event at fault is alone.
func (p *producer) sendBatch(ctx context.Context, partition int, items []item, batch []int, fates []fate) error {
	err := p.produce(ctx, partition, items, batch)
	switch {
	case err == nil:
		for _, i := range batch {
			fates[i].acked = true
		}
		return nil
	case !refusedForGood(err):
		return fmt.Errorf("send to %s/%d: %w", p.topic, partition, err)
	case len(batch) == 1:
		fates[batch[0]].refused = fmt.Errorf("%w: %w", ErrRefused, err)
		return nil
	}
	half := len(batch) / 2
	if err := p.sendBatch(ctx, partition, items, batch[:half], fates); err != nil {
		return err
	}
	return p.sendBatch(ctx, partition, items, batch[half:], fates)
}

// refusedForGood: the same records would be refused again. Everything else, a
// missing permission too, may be put right while the events wait.
func refusedForGood(err error) bool {
	for _, e := range []kafka.Error{kafka.MessageSizeTooLarge, kafka.RecordListTooLarge, kafka.InvalidRecord, kafka.InvalidTimestamp} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (p *producer) produce(ctx context.Context, partition int, items []item, batch []int) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	res, err := p.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        p.topic,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		Compression:  p.compression,
		Records:      &batchReader{items: items, batch: batch, now: time.Now()},
	})
	switch {
	case err != nil:
		return err
	case res.Error != nil:
		return res.Error
	}
	for _, err := range res.RecordErrors {
		return err
	}
	return nil
}

// batchReader gives a batch to kafka-go without an allocation per record.
type batchReader struct {
	items      []item
	batch      []int
	now        time.Time // every record's time: when it was sent
	record     kafka.Record
	key, value recordBytes
}

// ReadRecord returns the next record, valid until the next call.
func (r *batchReader) ReadRecord() (*kafka.Record, error) {
	if len(r.batch) == 0 {
		return nil, io.EOF
	}
	it := &r.items[r.batch[0]]
	r.batch = r.batch[1:]
	r.key.Reset(it.key)
	r.value.Reset(it.value)
	r.record = kafka.Record{Time: r.now, Key: &r.key, Value: &r.value}
	return &r.record, nil
}

// recordBytes is a byte slice as kafka-go reads it.
type recordBytes struct{ bytes.Reader }

// Close does nothing.
func (*recordBytes) Close() error { return nil }

// connections are the open connections. The transport leaves those in use alone
// when it is closed, up to their deadline; closeAll does not.
type connections struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	closed bool
	open   map[*trackedConn]struct{}
}

type trackedConn struct {
	net.Conn
	owner *connections
}

// Dial opens a connection.
func (c *connections) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t := &trackedConn{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(ErrClosed, conn.Close())
	}
	c.open[t] = struct{}{}
	return t, nil
}

func (c *connections) closeAll() {
	c.mu.Lock()
	c.closed = true
	open := c.open
	c.open = nil
	c.mu.Unlock()
	for t := range open {
		_ = t.Conn.Close()
	}
}

// Close closes the connection.
func (t *trackedConn) Close() error {
	t.owner.mu.Lock()
	delete(t.owner.open, t)
	t.owner.mu.Unlock()
	return t.Conn.Close()
}
