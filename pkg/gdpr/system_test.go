package gdpr

import (
	"crypto/ed25519"
	"testing"
)

func TestSystemSignature(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	pub := key.Public().(ed25519.PublicKey)
	record := []byte(`{"type":"audit.heartbeat"}`)
	sig := SignSystem(key, record)
	if !VerifySystem(pub, record, sig) {
		t.Fatal("own signature refused")
	}
	if !ed25519.Verify(pub, append([]byte("agentaudit/system/v1\x00"), record...), sig) {
		t.Error("not Ed25519 over label ‖ record")
	}
	refuse := func(what string, pub ed25519.PublicKey, record, sig []byte) {
		t.Helper()
		if VerifySystem(pub, record, sig) {
			t.Errorf("%s: accepted", what)
		}
	}
	refuse("other record", pub, []byte(`{"type":"gdpr.erased"}`), sig)
	refuse("signature without the label", pub, record, ed25519.Sign(key, record))
	refuse("truncated signature", pub, record, sig[:63])
	refuse("no signature", pub, record, nil)
	refuse("no key", nil, record, sig)
	refuse("another author's key", ed25519.NewKeyFromSeed([]byte("another author's seed of 32 byte")).Public().(ed25519.PublicKey), record, sig)
}
