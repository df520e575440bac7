package vault

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func TestWrap(t *testing.T) {
	one, two := newWrapper(1, &[kekBytes]byte{1}), newWrapper(2, &[kekBytes]byte{2})
	place, plain := []byte("0123456789abcdef"), []byte("secret")
	wrapped := one.wrap(purposeSubjectKeys, place, plain)
	if bytes.Contains(wrapped, plain) || bytes.Equal(wrapped, one.wrap(purposeSubjectKeys, place, plain)) {
		t.Error("not encrypted, or not with a fresh nonce")
	}
	if got, err := one.unwrap(purposeSubjectKeys, place, wrapped); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("unwrap: %q, %v", got, err)
	}
	refused := func(name string, w *wrapper, purpose string, place, wrapped []byte) {
		t.Helper()
		if _, err := w.unwrap(purpose, place, wrapped); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("another generation", two, purposeSubjectKeys, place, wrapped)
	refused("another purpose", one, purposeIdentity, place, wrapped)
	refused("another place", one, purposeSubjectKeys, []byte("0123456789abcdeF"), wrapped)
	refused("nothing", one, purposeSubjectKeys, place, nil)
	for i := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[i] ^= 0x40
		refused("a flipped bit", one, purposeSubjectKeys, place, changed)
	}
	if bytes.Equal(one.fingerprint(), two.fingerprint()) {
		t.Error("two keys have one fingerprint")
	}
}

// Made with Python's cryptography and hmac: what is stored must stay readable.
func TestWrapGolden(t *testing.T) {
	var kek [kekBytes]byte
	for i := range kek {
		kek[i] = byte(i)
	}
	w := newWrapper(1, &kek)
	wrapped, err := hex.DecodeString(goldenWrapped)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := w.unwrap(purposeIdentity, []byte("the place"), wrapped); err != nil || string(plain) != "the plain text" {
		t.Errorf("unwrap: %q, %v", plain, err)
	}
	if got := hex.EncodeToString(w.fingerprint()); got != goldenFingerprint {
		t.Errorf("fingerprint %s, want %s", got, goldenFingerprint)
	}
	hasher := newHasher(&kek)
	h := hasher.Hash([]byte("acmé"), []byte("alice"))
	if got := hex.EncodeToString(h[:]); got != goldenLookup || hasher.identity(Identity{"acmé", "alice"}) != h {
		t.Errorf("look-up hash %s, want %s", got, goldenLookup)
	}
}

const (
	goldenWrapped     = "6465666768696a6b6c6d6e6f19c9c5d95af9dca1d86aa03e729863f8fcc79b1d84bd725a55c1804b85db"
	goldenFingerprint = "366aa41c2b38e24498828f25b912c864"
	goldenLookup      = "9e2669ce4848bea5df090b8d476889312c1bc772206fa9af00f09e9a345bd0cf"
)
