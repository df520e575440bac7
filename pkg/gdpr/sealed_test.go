package gdpr

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
)

func sha256Of(b []byte) [32]byte { return sha256.Sum256(b) }

func TestSealedText(t *testing.T) {
	sealed := Sealed{Algorithm: AlgorithmSnappy, Keys: []KeyID{{0x01, 0x8f, 15: 0xaa}, {15: 1}}}
	sealed.Salt[31], sealed.SHA256[0], sealed.Commit[0] = 1, 0xff, 0xfb
	const want = `{"alg":"snappy+A256GCM","keys":["018f0000-0000-0000-0000-0000000000aa","00000000-0000-0000-0000-000000000001"],` +
		`"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE","sha256":"_wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",` +
		`"commit":"-wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`
	text := AppendSealed(nil, &sealed)
	if string(text) != want {
		t.Fatalf("got  %s\nwant %s", text, want)
	}
	var parsed Sealed
	if err := ParseSealed(text, &parsed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(AppendSealed(nil, &parsed), text) {
		t.Fatal("parsing loses something")
	}
	f := func(old, new string) {
		t.Helper()
		changed := strings.Replace(want, old, new, 1)
		if changed == want {
			t.Fatalf("%q does not occur", old)
		}
		if ParseSealed([]byte(changed), &parsed) == nil {
			t.Errorf("accepted with %q instead of %q", new, old)
		}
	}
	f("snappy", "zstd")
	f("018f", "018F")
	f("018f0000-", "018f0000_")
	f("0000000000aa", "0000000000a")
	f(`"018f0000-0000-0000-0000-0000000000aa","00000000-0000-0000-0000-000000000001"`, `"018f0000-0000-0000-0000-0000000000aa","018f0000-0000-0000-0000-0000000000aa"`)
	f(`"018f0000-0000-0000-0000-0000000000aa","00000000-0000-0000-0000-000000000001"`, ``)
	f("AAE\"", "AAF\"") // padding bits set: a second form of the same bytes
	f("AAE\"", "AAE=\"")
	f("AAE\"", "A\\nAE\"")
	f("_wAA", "/wAA")
	f(`"}`, `"} `)
	f(`"}`, `","x":1}`)
	f(`{"alg"`, `{ "alg"`)
}

func FuzzParseSealed(f *testing.F) {
	f.Add(AppendSealed(nil, &Sealed{Algorithm: AlgorithmPlain, Keys: []KeyID{{1}, {2}}}))
	f.Add([]byte(`{"alg":"A256GCM","keys":[],"salt":"","sha256":"","commit":""}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		var sealed Sealed
		if ParseSealed(content, &sealed) == nil && !bytes.Equal(AppendSealed(nil, &sealed), content) {
			t.Fatal("accepted what AppendSealed does not write")
		}
	})
}
