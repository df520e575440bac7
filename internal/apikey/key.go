// Package apikey is about the keys with which programs and people ask the exporter: what one looks like, and what its role may do.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"strings"
)

// Prefix begins every key, so that people and secret scanners recognise one: aak_, 64 hex digits of a random secret, 8 of a checksum.
const Prefix = "aak_"

const (
	secretBytes = 32
	keyBytes    = len(Prefix) + 2*(secretBytes+crc32.Size)
)

// ErrNoKey: the text is no key, or one that was mistyped.
var ErrNoKey = errors.New("not an API key, or a mistyped one")

// Key is an API key. Print it only for whom it is for.
type Key struct{ text string }

// New makes a key of 256 random bits.
func New() Key {
	secret := make([]byte, secretBytes, secretBytes+crc32.Size)
	rand.Read(secret) // never fails
	return Key{Prefix + hex.EncodeToString(appendChecksum(secret))}
}

// Parse reads a key. That it is one says nothing of whether anybody has it: ask the vault. What is none never gets that far.
func Parse(text string) (Key, error) {
	if len(text) != keyBytes || !strings.HasPrefix(text, Prefix) {
		return Key{}, ErrNoKey
	}
	raw, err := hex.DecodeString(text[len(Prefix):])
	if err != nil || string(appendChecksum(raw[:secretBytes:secretBytes])) != string(raw) || text != strings.ToLower(text) {
		return Key{}, ErrNoKey
	}
	return Key{text}, nil
}

// appendChecksum guards against typing errors; it is no secret, so it is compared as such.
func appendChecksum(secret []byte) []byte {
	sum := crc32.Checksum(secret, crc32.MakeTable(crc32.Castagnoli))
	return append(secret, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

// Reveal returns the key itself.
func (k Key) Reveal() string { return k.text }

// String hides the key from logs and errors.
func (Key) String() string { return "(an API key)" }

// Hash is what is kept of a key: SHA-256 of its text. Without the key nobody finds it from its hash, which has 256 random bits behind it.
func (k Key) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(k.text)) }
