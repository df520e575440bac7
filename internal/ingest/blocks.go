package ingest

import (
	"context"

	"github.com/agentaudit/agentaudit/internal/store"
)

// blockPool lends the blocks in which batches are built. Their number bounds the
// memory of all partitions together: whoever finds the pool empty waits, and with
// it the fetching of its partition. A block is taken only for records that
// are at hand, and goes back when its insert is over, so that the pool never locks up.
type blockPool chan *store.Block

func newBlockPool(n int) blockPool {
	p := make(blockPool, n)
	for range n {
		p <- store.NewBlock()
	}
	return p
}

func (p blockPool) take(ctx context.Context) (*store.Block, error) {
	select {
	case b := <-p:
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p blockPool) give(b *store.Block) {
	b.Reset()
	p <- b // never blocks: the pool has room for each of its blocks
}
