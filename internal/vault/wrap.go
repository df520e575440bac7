package vault

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
)

// Purposes of wrapped values. A value opens only for the purpose and at the place that it was wrapped for.
const (
	purposeDeployment  = "deployment"
	purposeSubjectKeys = "subject keys"
	purposeIdentity    = "identity"
	purposeDayKeys     = "day keys"
	purposeRequest     = "request"
	purposeExport      = "export"
	purposeConsent     = "consent"
)

// wrapLabel parts our derivations from any other use of the same key.
const wrapLabel = "agentaudit/vault/v1\x00"

// fingerprintBytes is enough to tell keys apart and says nothing of them.
const fingerprintBytes = 16

// wrapper encrypts and decrypts under one generation. It belongs to one goroutine.
//
// Each value has a key of its own, HMAC-SHA-256(generation's key, label ‖ purpose ‖ 0x00 ‖ place), so that the number of values is not bounded by what
// random nonces allow under one key. It is encrypted with AES-256-GCM and a random nonce, with purpose and place as associated data.
type wrapper struct {
	generation int
	mac        hash.Hash // under the generation's key
	label      []byte
}

func newWrapper(generation int, kek *[kekBytes]byte) *wrapper {
	return &wrapper{generation: generation, mac: hmac.New(sha256.New, kek[:])}
}

// wrapper returns a wrapper for a generation of the keyring.
func (k *Keyring) wrapper(ctx context.Context, generation int) (*wrapper, error) {
	key, err := k.key(ctx, generation)
	if err != nil {
		return nil, err
	}
	defer clear(key[:])
	return newWrapper(generation, &key), nil
}

// wrap encrypts plain for a purpose and a place. The place names the row, by parts of fixed length.
func (w *wrapper) wrap(purpose string, place, plain []byte) []byte {
	aead := w.aead(purpose, place)
	return aead.Seal(make([]byte, 0, aead.Overhead()+len(plain)), nil, plain, w.label) //nolint:gosec // this AEAD makes its random nonce itself
}

// unwrap is the inverse of wrap.
func (w *wrapper) unwrap(purpose string, place, wrapped []byte) ([]byte, error) {
	plain, err := w.aead(purpose, place).Open(nil, nil, wrapped, w.label)
	if err != nil {
		return nil, fmt.Errorf("%w: %s do not open under key generation %d", ErrDamaged, purpose, w.generation)
	}
	return plain, nil
}

func (w *wrapper) aead(purpose string, place []byte) cipher.AEAD {
	w.label = append(w.label[:0], wrapLabel...)
	w.label = append(w.label, purpose...)
	w.label = append(w.label, 0)
	w.label = append(w.label, place...)
	w.mac.Reset()
	w.mac.Write(w.label)
	var key [sha256.Size]byte
	block, err := aes.NewCipher(w.mac.Sum(key[:0]))
	clear(key[:])
	if err != nil {
		panic(err) // the key has the right size
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	return aead
}

// fingerprint tells this generation's key from any other.
func (w *wrapper) fingerprint() []byte {
	w.mac.Reset()
	w.mac.Write([]byte(wrapLabel + "fingerprint"))
	return w.mac.Sum(nil)[:fingerprintBytes]
}

// wrappers keeps one wrapper per generation during one call.
type wrappers struct {
	keys *Keyring
	by   map[int]*wrapper
}

func (k *Keyring) wrappers() *wrappers { return &wrappers{keys: k, by: make(map[int]*wrapper)} }

func (w *wrappers) of(ctx context.Context, generation int) (*wrapper, error) {
	if one, ok := w.by[generation]; ok {
		return one, nil
	}
	one, err := w.keys.wrapper(ctx, generation)
	if err != nil {
		return nil, err
	}
	w.by[generation] = one
	return one, nil
}
