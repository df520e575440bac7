package gdpr

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"slices"
	"testing"
)

// slowSeal seals as docs/formats.md, "Sealed content", says, step by step and with nothing of this package's own code but the types. packed is the
// content as it is encrypted, compressed if the algorithm says so.
func slowSeal(t testing.TB, algorithm string, packed []byte, salt [32]byte, keys []Keys) ([]byte, Sealed) {
	t.Helper()
	label := []byte("agentaudit/content/v1")
	mac := func(key []byte, parts ...[]byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(slices.Concat(parts...))
		return h.Sum(nil)
	}
	var contentKey, commitment []byte
	if len(keys) == 1 {
		contentKey = mac(keys[0].Content[:], []byte{1}, label, salt[:])
		commitment = mac(keys[0].Content[:], []byte{2}, label, salt[:])
	} else {
		var ids, shares []byte
		for _, k := range keys {
			ids = append(ids, k.ID[:]...)
			shares = append(shares, mac(k.Content[:], []byte{3}, label, salt[:])...)
		}
		key := sha256.Sum256(slices.Concat([]byte{1}, label, ids, shares))
		commit := sha256.Sum256(slices.Concat([]byte{2}, label, ids, shares))
		contentKey, commitment = key[:], commit[:]
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	ciphertext := gcm.Seal(nil, make([]byte, 12), packed, []byte(algorithm))
	sealed := Sealed{Algorithm: algorithm, Salt: salt, SHA256: sha256.Sum256(ciphertext), Commit: [32]byte(commitment)}
	for _, k := range keys {
		sealed.Keys = append(sealed.Keys, k.ID)
	}
	return ciphertext, sealed
}

// testKeys returns n subjects' keys, the same for the same n and seed.
func testKeys(n int, seed byte) []Keys {
	keys := make([]Keys, n)
	for i := range keys {
		id := sha256.Sum256([]byte{'i', seed, byte(i)})
		keys[i] = Keys{
			ID:      KeyID(id[:16]),
			Content: sha256.Sum256([]byte{'c', seed, byte(i)}),
			Token:   sha256.Sum256([]byte{'t', seed, byte(i)}),
		}
	}
	return keys
}

func pointers(keys []Keys) []*Keys {
	var all []*Keys
	for i := range keys {
		all = append(all, &keys[i])
	}
	return all
}

func prepared(keys []Keys) []*Prepared {
	var all []*Prepared
	for i := range keys {
		p := Prepare(&keys[i])
		all = append(all, &p)
	}
	return all
}

func testSealer(t testing.TB) *Sealer {
	t.Helper()
	s, err := NewSealer(&[32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
