package chain

import (
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// MaxConsistencyHashes is how many hashes a consistency proof has at most: C2SP tlog-witness allows no more, and no two trees need more.
const MaxConsistencyHashes = 63

// Consistency returns the hashes that show that a tree of size leaves begins with the leaves of its first oldSize ones (RFC 6962, 2.1.2): none where
// oldSize is 0 or size. tiles reads the log's tiles; what it reads is checked against the root.
func Consistency(oldSize, size uint64, root Hash, tiles tlog.TileReader) (tlog.TreeProof, error) {
	if size > 1<<63-1 || oldSize > size {
		return nil, fmt.Errorf("a tree of %d leaves cannot continue one of %d", size, oldSize)
	}
	if oldSize == 0 || oldSize == size {
		return nil, nil
	}
	tree := tlog.Tree{N: int64(size), Hash: tlog.Hash(root)}
	return tlog.ProveTree(tree.N, int64(oldSize), tlog.TileHashReader(tree, tiles))
}
