package chain

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// HashBytes is the size of a SHA-256 digest.
const HashBytes = sha256.Size

// Hash is a leaf hash. The zero Hash stands for "no entry before this one": it is the prev of entry 0 and the head of an empty log.
type Hash [HashBytes]byte

// String returns the hash as 64 lower-case hex digits, the form in which it stands in entries.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// leafPrefix parts leaves from inner nodes of the Merkle tree (RFC 6962, 2.1), so that no node can be passed off as an entry.
const leafPrefix = 0x00

// LeafHash returns SHA-256(0x00 ‖ entry) (RFC 6962, 2.1). For many entries a Hasher does the same without allocating.
func LeafHash(entry []byte) Hash {
	return NewHasher().Leaf(entry)
}

// Hasher computes leaf hashes without allocating. It belongs to one goroutine.
type Hasher struct {
	digest hash.Hash
	// prefix and sum live here because slices handed to an interface escape: on the stack each call would allocate.
	prefix [1]byte
	sum    Hash
}

// NewHasher returns a Hasher that can be used for any number of entries.
func NewHasher() *Hasher {
	return &Hasher{digest: sha256.New(), prefix: [1]byte{leafPrefix}}
}

// Leaf returns SHA-256(0x00 ‖ entry).
func (h *Hasher) Leaf(entry []byte) Hash {
	h.digest.Reset()
	h.digest.Write(h.prefix[:])
	h.digest.Write(entry)
	h.digest.Sum(h.sum[:0])
	return h.sum
}
