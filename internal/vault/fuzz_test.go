package vault

import (
	"bytes"
	"slices"
	"testing"
)

// Whatever decodes is what encode would have written.
func FuzzDecodeIdentity(f *testing.F) {
	f.Add(Identity{"acme", "alice"}.encode())
	f.Add(Identity{}.encode())
	f.Add([]byte{0x80, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := decodeIdentity(b)
		if err != nil {
			return
		}
		if again, err := decodeIdentity(id.encode()); err != nil || again != id {
			t.Errorf("%q decodes to another identity, %v", b, err)
		}
	})
}

func FuzzDecodeKeyring(f *testing.F) {
	f.Add(encodeKeyring([]keyGeneration{newKeyGeneration(1), newKeyGeneration(7)}))
	f.Add([]byte(`{"v":1,"generations":[{"number":-1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		generations, err := decodeKeyring(bytes.Clone(b))
		if err != nil {
			return
		}
		again, err := decodeKeyring(encodeKeyring(generations))
		if err != nil || !slices.EqualFunc(again, generations, func(a, b keyGeneration) bool {
			return a.Number == b.Number && a.key == b.key && a.Created.Equal(b.Created)
		}) {
			t.Errorf("%q decodes to another keyring, %v", b, err)
		}
	})
}
