package gdpr

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"errors"
	"hash"
)

// HMAC-SHA-256 (RFC 2104) hashes one block made of the key, then the message, then another block made of the key, then the first digest. The state of
// SHA-256 after each of the two key blocks does not depend on the message: kept, it halves the work for our short messages and leaves nothing to
// allocate (crypto/hmac allocates per key). Go exports that state through encoding.BinaryMarshaler only, in a form that belongs to crypto/sha256:
// checkMidstates makes sure of it before any key is used, and the states are never stored.

// midstate is the state of SHA-256 after the inner and after the outer key block of HMAC.
type midstate struct{ inner, outer [sha256.Size]byte }

const (
	stateMagic = "sha\x03" // marks a SHA-256 state as crypto/sha256 marshals it
	stateBytes = len(stateMagic) + sha256.Size + sha256.BlockSize + 8
)

// midstateOf prepares a key of 32 bytes, which RFC 2104 pads with zeros to one block.
func midstateOf(key *[32]byte) midstate {
	var m midstate
	m.inner = stateAfter(key, 0x36)
	m.outer = stateAfter(key, 0x5c)
	return m
}

func stateAfter(key *[32]byte, pad byte) (state [sha256.Size]byte) {
	var block [sha256.BlockSize]byte
	copy(block[:], key[:])
	for i := range block {
		block[i] ^= pad
	}
	digest := sha256.New()
	digest.Write(block[:])
	clear(block[:])
	// A marshaler that fails or writes another layout leaves a state that checkMidstates does not let pass.
	if marshaler, ok := digest.(encoding.BinaryMarshaler); ok {
		if saved, err := marshaler.MarshalBinary(); err == nil && len(saved) == stateBytes {
			copy(state[:], saved[len(stateMagic):])
			clear(saved)
		}
	}
	return state
}

// macer computes HMACs from midstates with one digest and no allocation. It belongs to one goroutine.
type macer struct {
	digest  hash.Hash
	restore encoding.BinaryUnmarshaler
	// state and sum live here because slices handed to an interface escape: on the stack each MAC would allocate.
	state [stateBytes]byte
	sum   [sha256.Size]byte
}

func newMacer() (*macer, error) {
	m := &macer{digest: sha256.New()}
	var ok bool
	if m.restore, ok = m.digest.(encoding.BinaryUnmarshaler); !ok {
		return nil, errMidstate
	}
	copy(m.state[:], stateMagic)
	// The last field is the number of bytes hashed so far: the key block.
	binary.BigEndian.PutUint64(m.state[stateBytes-8:], sha256.BlockSize)
	return m, nil
}

// mac returns HMAC(key, message) in m.sum, which the next call overwrites.
func (m *macer) mac(key *midstate, message []byte) (*[sha256.Size]byte, error) {
	if err := m.resume(&key.inner, message); err != nil {
		return nil, err
	}
	if err := m.resume(&key.outer, m.sum[:]); err != nil {
		return nil, err
	}
	return &m.sum, nil
}

func (m *macer) resume(state *[sha256.Size]byte, message []byte) error {
	copy(m.state[len(stateMagic):], state[:])
	if err := m.restore.UnmarshalBinary(m.state[:]); err != nil {
		return errMidstate
	}
	m.digest.Write(message)
	m.digest.Sum(m.sum[:0])
	return nil
}

// wipe overwrites what the last MAC left behind, as far as this package can reach it.
func (m *macer) wipe() {
	clear(m.state[len(stateMagic) : len(stateMagic)+sha256.Size])
	clear(m.sum[:])
	m.digest.Reset()
}

var errMidstate = errors.New("SHA-256 of this Go release does not restore a saved state as HMAC from midstates needs it: build with a release that the project is tested with")

// checkMidstates compares HMACs from midstates with crypto/hmac, for messages below, at and above the length of a block.
func (m *macer) checkMidstates() error {
	var key [32]byte
	for i := range key {
		key[i] = byte(7*i + 1)
	}
	state := midstateOf(&key)
	message := make([]byte, 2*sha256.BlockSize+1)
	for n := range message {
		message[n] = byte(n)
		got, err := m.mac(&state, message[:n])
		if err != nil {
			return err
		}
		want := hmac.New(sha256.New, key[:])
		want.Write(message[:n])
		if !hmac.Equal(got[:], want.Sum(nil)) {
			return errMidstate
		}
	}
	return nil
}
