package gdpr

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"pgregory.net/rapid"
)

func TestSealThenOpen(t *testing.T) {
	s := testSealer(t)
	rapid.Check(t, func(t *rapid.T) {
		keys := testKeys(rapid.SampledFrom([]int{1, 2, 3, 9, MaxKeys}).Draw(t, "keys"), rapid.Byte().Draw(t, "seed"))
		unit := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "unit")
		plain := bytes.Repeat(unit, rapid.IntRange(1, 20).Draw(t, "times"))
		prefix := rapid.SliceOfN(rapid.Byte(), 0, 10).Draw(t, "prefix")
		var sealed Sealed
		out, err := s.Seal(bytes.Clone(prefix), plain, prepared(keys), &sealed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(out, prefix) {
			t.Fatal("Seal changed what stood in dst")
		}
		opened, err := Open(bytes.Clone(prefix), out[len(prefix):], &sealed, pointers(keys))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(opened, append(bytes.Clone(prefix), plain...)) {
			t.Fatal("opened content differs")
		}
	})
}

// TestSealIsWhatTheTextSays compares with slowSeal, byte for byte, under the salt that Seal drew.
func TestSealIsWhatTheTextSays(t *testing.T) {
	s := testSealer(t)
	for _, n := range []int{1, 2, 5, MaxKeys} {
		for _, plain := range []string{"", `{"input":"hi"}`, strings.Repeat(`{"input":"hello again"}`, 40)} {
			keys := testKeys(n, 4)
			var got Sealed
			ciphertext, err := s.Seal(nil, []byte(plain), prepared(keys), &got)
			if err != nil {
				t.Fatal(err)
			}
			packed := []byte(plain)
			if got.Algorithm == AlgorithmSnappy {
				packed = s2.EncodeSnappy(nil, packed)
			}
			wantText, want := slowSeal(t, got.Algorithm, packed, got.Salt, keys)
			if !bytes.Equal(ciphertext, wantText) || !bytes.Equal(AppendSealed(nil, &got), AppendSealed(nil, &want)) {
				t.Errorf("%d keys, %d bytes: another sealing than the text's", n, len(plain))
			}
		}
	}
}

func TestCompressesOnlyIfItPays(t *testing.T) {
	s := testSealer(t)
	keys := prepared(testKeys(1, 1))
	f := func(plain []byte, want string) {
		t.Helper()
		var sealed Sealed
		if _, err := s.Seal(nil, plain, keys, &sealed); err != nil {
			t.Fatal(err)
		}
		if sealed.Algorithm != want {
			t.Errorf("%d bytes: %s, want %s", len(plain), sealed.Algorithm, want)
		}
	}
	noise := make([]byte, 4096)
	var batch salts
	for i := 0; i < len(noise); i += 32 {
		batch.next((*[32]byte)(noise[i:]))
	}
	f(bytes.Repeat([]byte("a"), minCompressBytes-1), AlgorithmPlain)
	f(bytes.Repeat([]byte("a"), minCompressBytes), AlgorithmSnappy)
	f(noise, AlgorithmPlain)
}

func TestSaltsAreFresh(t *testing.T) {
	s := testSealer(t)
	keys := prepared(testKeys(1, 1))
	seen := map[[32]byte]bool{{}: true}
	for range 2*saltBatchBytes/32 + 1 {
		var sealed Sealed
		if _, err := s.Seal(nil, []byte("x"), keys, &sealed); err != nil {
			t.Fatal(err)
		}
		if seen[sealed.Salt] {
			t.Fatal("a salt was used twice")
		}
		seen[sealed.Salt] = true
	}
}

func TestSealRefuses(t *testing.T) {
	s := testSealer(t)
	keys := prepared(testKeys(MaxKeys+1, 1))
	f := func(plain []byte, keys []*Prepared, want error) {
		t.Helper()
		var sealed Sealed
		dst := []byte("before")
		out, err := s.Seal(dst, plain, keys, &sealed)
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
		if string(out) != "before" {
			t.Error("dst was changed")
		}
	}
	f([]byte("x"), nil, ErrNoKeys)
	f([]byte("x"), keys, ErrTooManyKeys)
	f([]byte("x"), []*Prepared{keys[0], keys[1], keys[0]}, ErrRepeatedKey)
	f(make([]byte, MaxPlainBytes+1), keys[:1], ErrContentBytes)
}

func TestHugeContentLeavesNoBuffer(t *testing.T) {
	s := testSealer(t)
	keys := testKeys(1, 1)
	plain := bytes.Repeat([]byte("0123456789abcdef"), MaxPlainBytes/16)
	var sealed Sealed
	ciphertext, err := s.Seal(nil, plain, prepared(keys), &sealed)
	if err != nil {
		t.Fatal(err)
	}
	if cap(s.packed) > maxKeptBytes {
		t.Errorf("%d bytes are kept", cap(s.packed))
	}
	opened, err := Open(nil, ciphertext, &sealed, pointers(keys))
	if err != nil || !bytes.Equal(opened, plain) {
		t.Fatalf("content of the largest size does not come back: %v", err)
	}
}

func TestSealLeavesNoSecret(t *testing.T) {
	s := testSealer(t)
	var sealed Sealed
	plain := bytes.Repeat([]byte("secret"), 100)
	if _, err := s.Seal(nil, plain, prepared(testKeys(3, 1)), &sealed); err != nil {
		t.Fatal(err)
	}
	zero := func(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
	if !zero(s.key[:]) || !zero(s.message) || !zero(s.packed) || !zero(s.macer.sum[:]) || !zero(s.shares[0][:]) {
		t.Error("keys, shares or content are left in the sealer")
	}
}

func TestSealAllocatesOnlyTheAEAD(t *testing.T) {
	s := testSealer(t)
	plain := bytes.Repeat([]byte(`{"input":"x"}`), 40)
	dst := make([]byte, 0, 4096)
	var sealed Sealed
	for _, n := range []int{1, 3} {
		keys := prepared(testKeys(n, 1))
		allocs := testing.AllocsPerRun(200, func() {
			if _, err := s.Seal(dst, plain, keys, &sealed); err != nil {
				t.Fatal(err)
			}
		})
		// aes.NewCipher and cipher.NewGCM: escape analysis joins them to one in this Go release.
		if allocs > 2 {
			t.Errorf("%d keys: %v allocations a sealing", n, allocs)
		}
	}
	value := []byte("session 17")
	p := prepared(testKeys(1, 1))[0]
	if allocs := testing.AllocsPerRun(200, func() { s.SubjectToken(p, TagSession, value) }); allocs != 0 {
		t.Errorf("%v allocations a token", allocs)
	}
}
