package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
)

// Identity is a person as the events name them: unescaped UTF-8, the tenant without NUL. User "" stands for the tenant itself, for content of events
// without a user.
type Identity struct{ Tenant, User string }

// LookupHash is the keyed hash under which a person is found: HMAC-SHA-256(look-up key, tenant ‖ 0x00 ‖ user).
type LookupHash [32]byte

// Hasher computes look-up hashes without allocating. It belongs to one goroutine.
type Hasher struct {
	mac hash.Hash
	// message and sum live here because slices handed to an interface escape: on the stack each call would allocate.
	message []byte
	sum     [sha256.Size]byte
}

func newHasher(lookupKey *[32]byte) *Hasher {
	return &Hasher{mac: hmac.New(sha256.New, lookupKey[:]), message: make([]byte, 0, 256)}
}

// Hash returns the look-up hash of a person (unescaped UTF-8).
func (h *Hasher) Hash(tenant, user []byte) LookupHash {
	h.message = append(h.message[:0], tenant...)
	h.message = append(h.message, 0)
	h.message = append(h.message, user...)
	h.mac.Reset()
	h.mac.Write(h.message)
	h.mac.Sum(h.sum[:0])
	return h.sum
}

func (h *Hasher) identity(id Identity) LookupHash {
	h.message = append(h.message[:0], id.Tenant...)
	h.message = append(h.message, 0)
	h.message = append(h.message, id.User...)
	h.mac.Reset()
	h.mac.Write(h.message)
	h.mac.Sum(h.sum[:0])
	return h.sum
}

// check refuses identities whose look-up hash could be another's: a NUL in the tenant would move the border between tenant and user.
func (id Identity) check() error {
	if strings.IndexByte(id.Tenant, 0) >= 0 {
		return fmt.Errorf("tenant contains a NUL byte")
	}
	return nil
}

// encode returns the stored form: length of the tenant, tenant, user.
func (id Identity) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(len(id.Tenant)))
	b = append(b, id.Tenant...)
	return append(b, id.User...)
}

func decodeIdentity(b []byte) (Identity, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return Identity{}, fmt.Errorf("%w: an identity has a wrong length", ErrDamaged)
	}
	rest := b[used:]
	return Identity{Tenant: string(rest[:n]), User: string(rest[n:])}, nil
}
