package prove

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// LogProver makes proofs of many entries of one log, all below the same checkpoint. Asked in the order of the log it reads each tile once. It belongs to one
// goroutine.
type LogProver struct {
	Checkpoint chain.Checkpoint
	Signed     []byte // the checkpoint with its signatures, as it stands below each proof

	store  *store.Store
	log    string
	leaves map[uint64]nodes          // full tiles of level 0, of the latest Prepare
	others map[chain.TilePlace]*kept // tiles above, and those at the right edge
	clock  uint64
}

// kept is a tile with when it was used.
type kept struct {
	nodes nodes
	used  uint64
}

// maxKept bounds how many tiles beside those of leaves are kept: 16 KiB each. A proof needs ten at most, and the next one nearly the same.
const maxKept = 128

// Log returns what makes proofs below the log's checkpoint as it is now; Checkpoint.Size is 0 if there is none.
func (p *Prover) Log(ctx context.Context, log string) (*LogProver, error) {
	signed, checkpoint, err := p.checkpoint(ctx, log)
	if err != nil {
		return nil, err
	}
	return &LogProver{Checkpoint: checkpoint, Signed: signed, store: p.Store, log: log, others: map[chain.TilePlace]*kept{}}, nil
}

// Prepare reads the leaves that the proofs of some entries need, with one query. What was prepared before is forgotten, unless it is needed again.
func (l *LogProver) Prepare(ctx context.Context, seqs []uint64) error {
	leaves := map[uint64]nodes{}
	var missing []uint64
	for _, seq := range seqs {
		index := seq / chain.TileWidth
		if (index+1)*chain.TileWidth > l.Checkpoint.Size || leaves[index] != nil {
			continue
		}
		if leaves[index] = l.leaves[index]; leaves[index] == nil && !slices.Contains(missing[max(0, len(missing)-1):], index) {
			missing = append(missing, index)
		}
	}
	if len(missing) > 0 {
		tiles, err := l.store.TilesAt(ctx, l.log, 0, missing)
		if err != nil {
			return err
		}
		for i := range tiles {
			if len(tiles[i].Hashes) == chain.TileBytes {
				leaves[tiles[i].Index] = newNodes(tiles[i].Hashes)
			}
		}
	}
	l.leaves = leaves
	return nil
}

// Entry returns the proof of the entry at seq, which is checked: a *chain.Fault says that it, or a tile, is not what the checkpoint covers.
func (l *LogProver) Entry(ctx context.Context, seq uint64, entry []byte) ([]byte, error) {
	size := l.Checkpoint.Size
	if size > 1<<63-1 || seq >= size {
		return nil, fmt.Errorf("prove entry %d of %s: %w", seq, l.log, ErrNotCovered)
	}
	inclusion, err := tlog.ProveRecord(int64(size), int64(seq), tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		return l.hashes(ctx, indexes)
	}))
	if err != nil {
		return nil, fmt.Errorf("prove entry %d of %s: %w", seq, l.log, err)
	}
	if err := tlog.CheckRecord(inclusion, int64(size), tlog.Hash(l.Checkpoint.Root), int64(seq), tlog.Hash(chain.LeafHash(entry))); err != nil {
		return nil, &chain.Fault{Log: l.log, Seq: seq, Reason: "not the entry that the checkpoint covers, or its tiles are wrong"}
	}
	return chain.FormatProof(seq, entry, inclusion, l.Signed), nil
}

// hashes looks up nodes of the tree. They are not checked: the proof that is made of them is.
func (l *LogProver) hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		height, n := tlog.SplitStoredHashIndex(index)
		level, row := height/chain.TileHeight, height%chain.TileHeight
		across := chain.TileHeight - row // a tile has 2^across nodes of this height
		tile, err := l.tile(ctx, level, uint64(n)>>across)
		if err != nil {
			return nil, err
		}
		at := int(uint64(n) & (1<<across - 1))
		if row >= len(tile) || at >= len(tile[row]) {
			return nil, errors.New("a tile is too short")
		}
		found[i] = tlog.Hash(tile[row][at])
	}
	return found, nil
}

func (l *LogProver) tile(ctx context.Context, level int, index uint64) (nodes, error) {
	if level == 0 {
		if tile := l.leaves[index]; tile != nil {
			return tile, nil
		}
	}
	width := min(chain.TileWidth, l.Checkpoint.Size>>(chain.TileHeight*level)-index*chain.TileWidth)
	place := chain.TilePlace{Level: level, Index: index, Width: int(width)}
	l.clock++
	if k := l.others[place]; k != nil {
		k.used = l.clock
		return k.nodes, nil
	}
	hashes, err := l.store.TileHashes(ctx, l.log, place)
	if errors.Is(err, store.ErrNotFound) {
		return nil, &chain.Fault{Log: l.log, Seq: index << (chain.TileHeight * (level + 1)), Reason: "the tile of it is missing"}
	}
	if err != nil {
		return nil, err
	}
	if len(l.others) >= maxKept {
		l.forget()
	}
	k := &kept{nodes: newNodes(hashes), used: l.clock}
	l.others[place] = k
	return k.nodes, nil
}

// forget drops the tile that was not used for the longest time.
func (l *LogProver) forget() {
	var oldest chain.TilePlace
	least := l.clock
	for place, k := range l.others {
		if k.used < least {
			oldest, least = place, k.used
		}
	}
	delete(l.others, oldest)
}

// nodes are the nodes of the tree in a tile, by their height: those that have all of their leaves.
type nodes [][]chain.Hash

func newNodes(hashes []byte) nodes {
	row := make([]chain.Hash, len(hashes)/chain.HashBytes)
	for i := range row {
		row[i] = chain.Hash(hashes[i*chain.HashBytes:])
	}
	all := nodes{row}
	for len(row) > 1 && len(all) < chain.TileHeight {
		next := make([]chain.Hash, len(row)/2)
		for i := range next {
			next[i] = chain.Hash(tlog.NodeHash(tlog.Hash(row[2*i]), tlog.Hash(row[2*i+1])))
		}
		all, row = append(all, next), next
	}
	return all
}
