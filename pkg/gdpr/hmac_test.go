package gdpr

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestMACIsHMAC(t *testing.T) {
	m, err := newMacer()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		message := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "message")
		state := midstateOf(&key)
		got, err := m.mac(&state, message)
		if err != nil {
			t.Fatal(err)
		}
		want := hmac.New(sha256.New, key[:])
		want.Write(message)
		if !bytes.Equal(got[:], want.Sum(nil)) {
			t.Fatalf("MAC of %d bytes differs from crypto/hmac", len(message))
		}
	})
}

// brokenDigest restores states without complaint, yet not as crypto/sha256 does: what another layout of the state would look like.
type brokenDigest struct{ unmarshaled []byte }

func (b *brokenDigest) UnmarshalBinary(state []byte) error {
	b.unmarshaled = bytes.Clone(state)
	return nil
}

func TestCheckMidstatesFindsAnotherLayout(t *testing.T) {
	m, err := newMacer()
	if err != nil {
		t.Fatal(err)
	}
	m.restore = &brokenDigest{}
	if err := m.checkMidstates(); !errors.Is(err, errMidstate) {
		t.Fatalf("self-test with a digest that does not restore: %v", err)
	}
}

func TestPreparedIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Prepared{}); size > 192 {
		t.Fatalf("Prepared takes %d bytes; a million subjects are budgeted with 192 each", size)
	}
}

func TestWipe(t *testing.T) {
	keys := testKeys(1, 1)[0]
	p := Prepare(&keys)
	p.Wipe()
	keys.Wipe()
	if p != (Prepared{}) || keys != (Keys{}) {
		t.Fatal("something is left after Wipe")
	}
}
