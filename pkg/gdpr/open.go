package gdpr

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/klauspost/compress/s2"
)

// Why a content does not open. None of them says anything of the content.
var (
	// ErrCiphertext: the ciphertext is not the one that the entry commits to.
	ErrCiphertext = errors.New("ciphertext does not match the hash in its entry")
	// ErrKeys: the keys are not those that the entry names and commits to.
	ErrKeys = errors.New("keys do not match those that the entry commits to")
	// ErrSealed: hash and keys are right, yet the ciphertext does not decrypt: it was sealed by something else than a Sealer, or the algorithm's name
	// was changed.
	ErrSealed = errors.New("content does not decrypt though hash and keys match")
)

// Open appends the content of ciphertext to dst. keys are the keys that c names, in the same order. The ciphertext's hash and the key commitment are
// compared, in constant time, before anything is decrypted. On an error dst is returned as it was.
func Open(dst, ciphertext []byte, c *Sealed, keys []*Keys) ([]byte, error) {
	if sum := sha256.Sum256(ciphertext); subtle.ConstantTimeCompare(sum[:], c.SHA256[:]) != 1 {
		return dst, ErrCiphertext
	}
	if len(keys) != len(c.Keys) || checkKeyIDs(c.Keys) != nil {
		return dst, ErrKeys
	}
	for i, k := range keys {
		if k.ID != c.Keys[i] {
			return dst, ErrKeys
		}
	}
	key, commit := contentKey(&c.Salt, keys)
	defer clear(key)
	if subtle.ConstantTimeCompare(commit, c.Commit[:]) != 1 {
		return dst, ErrKeys
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return dst, ErrSealed
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return dst, ErrSealed
	}
	nonce := make([]byte, aead.NonceSize())
	plain, err := aead.Open(nil, nonce, ciphertext, []byte(c.Algorithm))
	if err != nil {
		return dst, ErrSealed
	}
	if c.Algorithm == AlgorithmSnappy {
		return unpack(dst, plain)
	}
	if c.Algorithm != AlgorithmPlain || len(plain) > MaxPlainBytes {
		return dst, ErrSealed
	}
	return append(dst, plain...), nil
}

// unpack appends the content of a Snappy block to dst. The length that the block claims is checked before memory is taken for it.
func unpack(dst, packed []byte) ([]byte, error) {
	n, err := s2.DecodedLen(packed)
	if err != nil || n > MaxPlainBytes {
		return dst, ErrSealed
	}
	plain, err := s2.Decode(make([]byte, n), packed)
	if err != nil {
		return dst, ErrSealed
	}
	return append(dst, plain...), nil
}

// contentKey derives the content key and its commitment, see Sealer. It is written from the description with crypto/hmac: speed matters less here, and
// so the two ways check each other in every test that seals and opens.
func contentKey(salt *[32]byte, keys []*Keys) (key, commit []byte) {
	if len(keys) == 1 {
		return deriveFrom(keys[0], deriveKey, salt), deriveFrom(keys[0], deriveCommit, salt)
	}
	joined := []byte(contentLabel)
	for _, k := range keys {
		joined = append(joined, k.ID[:]...)
	}
	for _, k := range keys {
		joined = append(joined, deriveFrom(k, deriveShare, salt)...)
	}
	defer clear(joined)
	keySum, commitSum := sha256.New(), sha256.New()
	keySum.Write([]byte{deriveKey})
	keySum.Write(joined)
	commitSum.Write([]byte{deriveCommit})
	commitSum.Write(joined)
	return keySum.Sum(nil), commitSum.Sum(nil)
}

func deriveFrom(k *Keys, purpose byte, salt *[32]byte) []byte {
	mac := hmac.New(sha256.New, k.Content[:])
	mac.Write([]byte{purpose})
	mac.Write([]byte(contentLabel))
	mac.Write(salt[:])
	return mac.Sum(nil)
}
