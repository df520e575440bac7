package kafkaio

import (
	"context"
	"errors"
	"net"
	"sync"
)

// cutter dials, and can end all that it dialled. kafka-go's ConsumerGroup leaves no other way to hurry it.
type cutter struct {
	below func(ctx context.Context, network, addr string) (net.Conn, error)

	mu   sync.Mutex
	gone bool // no more connections
	open map[*cuttable]struct{}
}

var errCut = errors.New("the group is being left and the cluster did not answer in time")

func newCutter(below func(ctx context.Context, network, addr string) (net.Conn, error)) *cutter {
	return &cutter{below: below, open: map[*cuttable]struct{}{}}
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	gone := c.gone
	c.mu.Unlock()
	if gone {
		return nil, errCut
	}
	conn, err := c.below(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	wrapped := &cuttable{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		conn.Close()
		return nil, errCut
	}
	c.open[wrapped] = struct{}{}
	return wrapped, nil
}

// cut ends all connections and refuses new ones.
func (c *cutter) cut() {
	c.mu.Lock()
	c.gone = true
	open := c.open
	c.open = map[*cuttable]struct{}{}
	c.mu.Unlock()
	for conn := range open {
		conn.Conn.Close()
	}
}

// cuttable is a connection that its cutter knows until it is closed.
type cuttable struct {
	net.Conn
	cutter *cutter
}

// Close closes the connection.
func (c *cuttable) Close() error {
	c.cutter.mu.Lock()
	delete(c.cutter.open, c)
	c.cutter.mu.Unlock()
	return c.Conn.Close()
}
