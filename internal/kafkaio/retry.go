package kafkaio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	// retryFor is how long a request is tried again, unless ctx ends before.
	retryFor = 30 * time.Second
	// metadataAge bounds how long kafka-go's Client believes in a leader that has moved.
	metadataAge = 5 * time.Second
)

// retry repeats op with backoff as long as its error may pass. kafka-go's Client tries once, and after a broker's restart several of its
// pooled connections are dead.
func (c *Client) retry(ctx context.Context, op func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, retryFor)
	defer cancel()
	wait := newBackoff()
	for {
		err := op(ctx)
		if err == nil || final(err) {
			return err
		}
		if !sleep(ctx, wait.NextBackOff()) {
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

// final says that trying again does not help.
func final(err error) bool {
	var code kafka.Error
	return errors.Is(err, ErrNoTopic) || errors.As(err, &code) && !code.Temporary()
}
