package kafkaio

import (
	"context"
	"errors"
)

// ErrEnough ends Each without an error.
var ErrEnough = errors.New("enough was read")

// Each is Follow for those who take batches one after the other. It gives each to take, which must not keep it, until take fails, ctx ends (then err is nil) or
// Follow fails. What take returns is returned, but for ErrEnough. next is the offset behind the last batch that was taken without an error or with ErrEnough. No
// goroutine is left behind.
func (c *Client) Each(ctx context.Context, topic string, partition int, from int64, take func(*Batch) error) (next int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	batches, ended := make(chan *Batch), make(chan error, 1)
	go func() { ended <- c.Follow(ctx, topic, partition, from, batches) }() // ends with ctx or by failing, and is awaited
	for next = from; ; {
		select {
		case batch := <-batches:
			behind := batch.Next
			err := take(batch)
			batch.Release()
			enough := errors.Is(err, ErrEnough)
			if err == nil || enough {
				next = behind
			}
			if err == nil {
				continue
			}
			cancel()
			<-ended //nolint:errcheck // nothing but that ctx ended
			if enough {
				return next, nil
			}
			return next, err
		case err := <-ended:
			return next, err
		}
	}
}
