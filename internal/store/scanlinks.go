package store

import (
	"context"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Scanned is a stored entry and what it shows by itself.
type Scanned struct {
	Seq   uint64
	Entry []byte
	Leaf  chain.Hash  // as it stands beside the entry
	Link  *chain.Link // read with the entry's own leaf hash
}

// ScanLinks is Scan for those who check entries: most of that work needs no order, so blocks are hashed and taken apart in parallel, while the next ones
// arrive. fn is called by one goroutine, the caller's, and what it is given is valid until it returns.
func (s *Store) ScanLinks(ctx context.Context, log string, from uint64, fn func(*Scanned) error) error {
	ctx, cancel := context.WithCancel(ctx)
	ahead := linkedBlocks{free: make(chan *linkedBlock, blocksAhead), queue: make(chan *linkedBlock, blocksAhead)}
	ended := make(chan error, 1)
	go func() { // ends with the scan or ctx, and is waited for
		err := s.scan(ctx, scannedColumns, log, from, func() (proto.Results, error) { return ahead.next(ctx) }, ahead.decoded)
		close(ahead.queue)
		ended <- err
	}()
	err := ahead.each(fn)
	cancel()
	scanErr := <-ended
	for b := range ahead.queue {
		<-b.ready // that nobody works on after the return
	}
	if err == nil {
		err = scanErr
	}
	return err
}

// blocksAhead is how many blocks of a scan are held at a time, of scanBlockRows and 2 MB for their links: one that is decoded, one whose entries are taken
// apart, one that is checked.
const blocksAhead = 3

// linkedBlocks are the blocks of a scan on their way from the decoder, through goroutines that take entries apart, to the one who asked. Blocks are made when
// none is free: a short scan needs one.
type linkedBlocks struct {
	made   int
	latest *linkedBlock
	free   chan *linkedBlock
	queue  chan *linkedBlock // in the order of the scan
}

type linkedBlock struct {
	seq   proto.ColUInt64
	entry bytesColumn
	leaf  proto.ColFixedStr32

	hasher *chain.Hasher
	links  []chain.Link
	ready  chan struct{} // holds one token once links are read
}

// next returns the columns of a block to decode into.
func (l *linkedBlocks) next(ctx context.Context) (proto.Results, error) {
	select {
	case l.latest = <-l.free:
	default:
		if l.made < blocksAhead {
			l.made++
			l.latest = &linkedBlock{hasher: chain.NewHasher(), ready: make(chan struct{}, 1)}
			break
		}
		select {
		case l.latest = <-l.free:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	b := l.latest
	return proto.Results{{Name: "seq", Data: &b.seq}, {Name: "entry", Data: &b.entry}, {Name: "leaf_hash", Data: &b.leaf}}, nil
}

// decoded sends the latest block on its way.
func (l *linkedBlocks) decoded(rows int) error {
	b := l.latest
	go b.read(rows) // ends when all is read; whoever takes the block waits for it
	l.queue <- b    // has room for all of them
	return nil
}

func (b *linkedBlock) read(rows int) {
	if cap(b.links) < rows {
		b.links = make([]chain.Link, rows)
	}
	b.links = b.links[:rows]
	for i := range b.links {
		entry := b.entry.row(i)
		b.links[i].Read(entry, b.hasher.Leaf(entry))
	}
	b.ready <- struct{}{}
}

// each calls fn with the entries of all blocks, until it has an error.
func (l *linkedBlocks) each(fn func(*Scanned) error) error {
	var one Scanned
	for b := range l.queue {
		<-b.ready
		for i := range b.links {
			one = Scanned{Seq: b.seq[i], Entry: b.entry.row(i), Leaf: b.leaf[i], Link: &b.links[i]}
			if err := fn(&one); err != nil {
				return err
			}
		}
		l.free <- b // as above
	}
	return nil
}
