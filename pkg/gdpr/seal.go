package gdpr

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Algorithms of sealed content.
const (
	AlgorithmPlain  = "A256GCM"
	AlgorithmSnappy = "snappy+A256GCM" // compressed to a Snappy block before encryption
)

const (
	// MaxKeys bounds the keys of one sealing: the subject, 64 data subjects, the approver.
	MaxKeys = 66

	// MaxPlainBytes bounds content before compression and so the memory that opening may take. Events are at most 1 MiB; a rejected record is what
	// the broker let through, and an insert holds 64 MiB at most.
	MaxPlainBytes = 32 << 20

	// minCompressBytes: below it, Snappy saves less than the ciphertext's hash and tag cost.
	minCompressBytes = 128

	// maxKeptBytes bounds the buffer that is kept for the next compression; one huge rejected record must not stay in memory.
	maxKeptBytes = 4 << 20

	// contentLabel is part of every message under a content key and of every hash over derived secrets: its version changes with the construction.
	contentLabel = "agentaudit/content/v1"
)

// What is derived, the first byte of each message.
const (
	deriveKey    = 1
	deriveCommit = 2
	deriveShare  = 3
)

// Sealed is what the entry says about a ciphertext.
type Sealed struct {
	Algorithm string
	Keys      []KeyID // whose keys the content key is derived from, in this order
	Salt      [32]byte
	SHA256    [32]byte // of the ciphertext
	Commit    [32]byte // commitment to the keys: AES-GCM alone lets one ciphertext open under two keys
}

// Sealer seals contents and makes tokens. It belongs to one goroutine. It allocates nothing in the steady state but the AES-GCM object of each sealing.
//
// How a content key is made (K is the content key of a subject, salt 32 fresh random bytes; ‖ joins bytes):
//
//	one subject:  key = HMAC(K, 1 ‖ label ‖ salt)                  commitment = HMAC(K, 2 ‖ label ‖ salt)
//	several:      key = SHA-256(1 ‖ label ‖ ids ‖ shares)          commitment = SHA-256(2 ‖ label ‖ ids ‖ shares)
//	              ids = the key ids in order, shares = HMAC(Kᵢ, 3 ‖ label ‖ salt) in the same order
//
// Each content key is used once, so the nonce is zero. No cryptographer has reviewed this construction yet.
//
// The associated data is the name of the algorithm, nothing else. It says how the plaintext is to be read and is the one member of Sealed that neither
// the key nor a hash covers, so a changed one must not open. The place in the log is not bound: content is sealed before the chain decides the place
// and stays valid when a batch is chained anew; the entry commits to the ciphertext, the salt, the ids and the commitment, and the chain to the entry.
type Sealer struct {
	macer   *macer
	digest  hash.Hash // for several keys, and the hash of the ciphertext
	search  midstate
	salts   salts
	nonce   [12]byte // always zero
	message []byte
	shares  [][32]byte
	key     [32]byte
	packed  []byte // Snappy's output
}

// NewSealer returns a Sealer. searchKey is the deployment's key for tokens that can be compared across subjects. It fails if this build's SHA-256
// does not restore its state in the way that Prepared relies on.
func NewSealer(searchKey *[32]byte) (*Sealer, error) {
	m, err := newMacer()
	if err != nil {
		return nil, err
	}
	if err := m.checkMidstates(); err != nil {
		return nil, err
	}
	return &Sealer{macer: m, digest: sha256.New(), search: midstateOf(searchKey)}, nil
}

// Errors of Seal that its caller causes.
var (
	ErrNoKeys       = errors.New("sealing without a key")
	ErrTooManyKeys  = fmt.Errorf("more than %d keys for one content", MaxKeys)
	ErrRepeatedKey  = errors.New("a key is given twice for one content")
	ErrContentBytes = fmt.Errorf("content is larger than %d bytes", MaxPlainBytes)
)

// Seal encrypts plain for the owners of keys and appends the ciphertext to dst; the content opens only with all of the keys. out is overwritten,
// its Keys slice reused. plain must not overlap dst. On an error dst is returned as it was.
func (s *Sealer) Seal(dst, plain []byte, keys []*Prepared, out *Sealed) ([]byte, error) {
	if len(plain) > MaxPlainBytes {
		return dst, ErrContentBytes
	}
	out.Keys = out.Keys[:0]
	for _, k := range keys {
		out.Keys = append(out.Keys, k.id)
	}
	if err := checkKeyIDs(out.Keys); err != nil {
		return dst, err
	}
	s.salts.next(&out.Salt)
	if err := s.derive(keys, out); err != nil {
		return dst, err
	}
	defer s.wipe()
	plain, out.Algorithm = s.pack(plain)
	block, err := aes.NewCipher(s.key[:])
	if err != nil {
		return dst, fmt.Errorf("prepare AES-256: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return dst, fmt.Errorf("prepare AES-256-GCM: %w", err)
	}
	start := len(dst)
	s.message = append(s.message[:0], out.Algorithm...)
	dst = aead.Seal(dst, s.nonce[:], plain, s.message)
	s.digest.Reset()
	s.digest.Write(dst[start:])
	s.digest.Sum(out.SHA256[:0])
	return dst, nil
}

// checkKeyIDs refuses what would make a construction mean something else: no key, and a key that counts twice.
func checkKeyIDs(ids []KeyID) error {
	switch {
	case len(ids) == 0:
		return ErrNoKeys
	case len(ids) > MaxKeys:
		return ErrTooManyKeys
	}
	for i, id := range ids {
		if slices.Contains(ids[:i], id) {
			return ErrRepeatedKey
		}
	}
	return nil
}

// derive sets s.key and out.Commit from out.Salt and the keys.
func (s *Sealer) derive(keys []*Prepared, out *Sealed) error {
	s.message = append(append(append(s.message[:0], 0), contentLabel...), out.Salt[:]...)
	if len(keys) == 1 {
		return s.deriveSingle(&keys[0].content, out)
	}
	s.shares = s.shares[:0]
	s.message[0] = deriveShare
	for _, k := range keys {
		share, err := s.macer.mac(&k.content, s.message)
		if err != nil {
			return err
		}
		s.shares = append(s.shares, *share)
	}
	s.combine(deriveKey, out.Keys, &s.key)
	s.combine(deriveCommit, out.Keys, &out.Commit)
	return nil
}

func (s *Sealer) deriveSingle(key *midstate, out *Sealed) error {
	s.message[0] = deriveKey
	sum, err := s.macer.mac(key, s.message)
	if err != nil {
		return err
	}
	s.key = *sum
	s.message[0] = deriveCommit
	if sum, err = s.macer.mac(key, s.message); err != nil {
		return err
	}
	out.Commit = *sum
	return nil
}

// combine computes SHA-256(purpose ‖ label ‖ ids ‖ shares).
func (s *Sealer) combine(purpose byte, ids []KeyID, to *[32]byte) {
	s.message = append(append(s.message[:0], purpose), contentLabel...)
	for i := range ids {
		s.message = append(s.message, ids[i][:]...)
	}
	for i := range s.shares {
		s.message = append(s.message, s.shares[i][:]...)
	}
	s.digest.Reset()
	s.digest.Write(s.message)
	s.digest.Sum(to[:0])
}

// pack compresses plain if that saves an eighth or more. How well content compresses shows in the length of the ciphertext, as does its length anyway.
func (s *Sealer) pack(plain []byte) ([]byte, string) {
	if len(plain) < minCompressBytes {
		return plain, AlgorithmPlain
	}
	room := s2.MaxEncodedLen(len(plain))
	s.packed = s2.EncodeSnappy(slices.Grow(s.packed[:0], room)[:room], plain)
	if len(s.packed) > len(plain)-len(plain)/8 {
		return plain, AlgorithmPlain
	}
	return s.packed, AlgorithmSnappy
}

// wipe overwrites the secrets of the last sealing. The AES-GCM object keeps its key schedule until the garbage collector has reused its memory.
func (s *Sealer) wipe() {
	clear(s.key[:])
	clear(s.shares)
	clear(s.message)
	clear(s.packed)
	if cap(s.packed) > maxKeptBytes {
		s.packed = nil
	}
	s.macer.wipe()
}
