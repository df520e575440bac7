package kafkaio_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestEach(t *testing.T) {
	noLeaks(t)
	addr := testkit.EmbeddedKafka(t).Address
	topic := testkit.Topic(t, addr, 1)
	c := newClient(t, addr, nil)
	const n = 10
	for i := range n {
		// One at a time: each is a batch.
		if err := c.Produce(t.Context(), topic, []kafkaio.Message{{Value: fmt.Append(nil, i)}}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var values []string
	collect := func(b *kafkaio.Batch) error {
		for _, r := range b.Records {
			values = append(values, string(r.Value))
		}
		if b.Next == n {
			return kafkaio.ErrEnough
		}
		return nil
	}
	next, err := c.Each(ctx, topic, 0, 3, collect)
	if err != nil || next != n || fmt.Sprint(values) != "[3 4 5 6 7 8 9]" {
		t.Errorf("%d, %v, %v", next, err, values)
	}
	// What fails was not taken: the next call begins with it.
	broken := errors.New("broken")
	if next, err := c.Each(ctx, topic, 0, 3, func(*kafkaio.Batch) error { return broken }); !errors.Is(err, broken) || next != 3 {
		t.Errorf("%d, %v", next, err)
	}
	// The end of ctx is no failure, whoever waits.
	soon, end := context.WithCancel(ctx)
	if next, err := c.Each(soon, topic, 0, n-1, func(*kafkaio.Batch) error { end(); return nil }); err != nil || next != n {
		t.Errorf("%d, %v", next, err)
	}
	end()
	var lost *kafkaio.OffsetError
	if next, err := c.Each(ctx, topic, 0, n+5, collect); !errors.As(err, &lost) || next != n+5 {
		t.Errorf("%d, %v", next, err)
	}
}
