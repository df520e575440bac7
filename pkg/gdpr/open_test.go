package gdpr

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// sealedContent is one sealing and what opens it, for tests that then change a part.
type sealedContent struct {
	plain, ciphertext []byte
	sealed            Sealed
	keys              []Keys
}

func newSealedContent(t testing.TB, plain string, keys int) sealedContent {
	t.Helper()
	c := sealedContent{plain: []byte(plain), keys: testKeys(keys, 7)}
	var err error
	if c.ciphertext, err = testSealer(t).Seal(nil, c.plain, prepared(c.keys), &c.sealed); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c sealedContent) clone() sealedContent {
	c.ciphertext, c.sealed.Keys, c.keys = bytes.Clone(c.ciphertext), slices.Clone(c.sealed.Keys), slices.Clone(c.keys)
	return c
}

func TestOpenRefuses(t *testing.T) {
	const secret = "the patient said that nobody must know"
	for _, n := range []int{1, 3} {
		good := newSealedContent(t, strings.Repeat(secret, 5), n)
		f := func(what string, want error, change func(c *sealedContent)) {
			t.Helper()
			c := good.clone()
			change(&c)
			out, err := Open([]byte("before"), c.ciphertext, &c.sealed, pointers(c.keys))
			if !errors.Is(err, want) {
				t.Errorf("%d keys, %s: error %v, want %v", n, what, err, want)
			}
			if string(out) != "before" {
				t.Errorf("%d keys, %s: something was handed out", n, what)
			}
			if err != nil && strings.Contains(err.Error(), "patient") {
				t.Errorf("%d keys, %s: the error quotes content", n, what)
			}
		}
		rehash := func(c *sealedContent) { c.sealed.SHA256 = sha256Of(c.ciphertext) }
		f("wrong content key", ErrKeys, func(c *sealedContent) { c.keys[0].Content[31] ^= 1 })
		f("another subject's key", ErrKeys, func(c *sealedContent) { c.keys[0] = testKeys(1, 99)[0] })
		f("another subject's key under the same id", ErrKeys, func(c *sealedContent) { c.keys[0].Content = testKeys(1, 99)[0].Content })
		f("other salt", ErrKeys, func(c *sealedContent) { c.sealed.Salt[0] ^= 1 })
		f("other commitment", ErrKeys, func(c *sealedContent) { c.sealed.Commit[0] ^= 1 })
		f("other hash", ErrCiphertext, func(c *sealedContent) { c.sealed.SHA256[0] ^= 1 })
		f("truncated", ErrCiphertext, func(c *sealedContent) { c.ciphertext = c.ciphertext[:len(c.ciphertext)-1] })
		f("empty", ErrCiphertext, func(c *sealedContent) { c.ciphertext = nil })
		f("empty, hash made to fit", ErrSealed, func(c *sealedContent) { c.ciphertext = nil; rehash(c) })
		f("truncated, hash made to fit", ErrSealed, func(c *sealedContent) { c.ciphertext = c.ciphertext[:len(c.ciphertext)-1]; rehash(c) })
		f("algorithm renamed", ErrSealed, func(c *sealedContent) { c.sealed.Algorithm = AlgorithmPlain })
		f("no keys", ErrKeys, func(c *sealedContent) { c.keys = nil })
		f("no keys named either", ErrKeys, func(c *sealedContent) { c.keys, c.sealed.Keys = nil, nil })
		if n > 1 {
			f("a key missing", ErrKeys, func(c *sealedContent) { c.keys = c.keys[1:] })
			f("keys in another order", ErrKeys, func(c *sealedContent) { slices.Reverse(c.keys) })
			f("keys and names in another order", ErrKeys, func(c *sealedContent) { slices.Reverse(c.keys); slices.Reverse(c.sealed.Keys) })
			f("a key twice", ErrKeys, func(c *sealedContent) { c.keys[1], c.sealed.Keys[1] = c.keys[0], c.sealed.Keys[0] })
		}
		for i := range good.ciphertext {
			f("flipped byte", ErrCiphertext, func(c *sealedContent) { c.ciphertext[i] ^= 0x40 })
			f("flipped byte, hash made to fit", ErrSealed, func(c *sealedContent) { c.ciphertext[i] ^= 0x40; rehash(c) })
		}
	}
}

// TestContentOfOneSubjectIsNotThatOfSeveral: a subject's key alone must not open what was sealed for two, whatever the entry is made to say.
func TestContentOfOneSubjectIsNotThatOfSeveral(t *testing.T) {
	c := newSealedContent(t, "for both", 2)
	c.sealed.Keys = c.sealed.Keys[:1]
	if _, err := Open(nil, c.ciphertext, &c.sealed, pointers(c.keys[:1])); !errors.Is(err, ErrKeys) {
		t.Fatalf("one key of two: %v", err)
	}
}

// TestKeyCommitment makes what AES-GCM allows and the commitment must stop: one ciphertext, presented with the salt of its own sealing, under the keys of
// somebody else. AES-GCM alone would accept a ciphertext crafted for two keys; here the second key fails before GCM is asked.
func TestKeyCommitment(t *testing.T) {
	mine, theirs := testKeys(1, 1), testKeys(1, 2)
	var salt [32]byte
	ciphertext, sealed := slowSeal(t, AlgorithmPlain, []byte("content"), salt, mine)
	theirs[0].ID = mine[0].ID
	if _, err := Open(nil, ciphertext, &sealed, pointers(theirs)); !errors.Is(err, ErrKeys) {
		t.Fatalf("opened under a key that the entry does not commit to: %v", err)
	}
	_, other := slowSeal(t, AlgorithmPlain, []byte("content"), salt, theirs)
	if other.Commit == sealed.Commit {
		t.Fatal("two keys have one commitment")
	}
}

func TestOpenBoundsDecompression(t *testing.T) {
	keys := testKeys(1, 1)
	f := func(what string, packed []byte) {
		t.Helper()
		ciphertext, sealed := slowSeal(t, AlgorithmSnappy, packed, [32]byte{}, keys)
		if _, err := Open(nil, ciphertext, &sealed, pointers(keys)); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: error %v, want %v", what, err, ErrSealed)
		}
	}
	f("a block that claims 4 GiB", []byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f("a block larger than the limit", s2.EncodeSnappy(nil, make([]byte, MaxPlainBytes+1)))
	f("no block", nil)
	f("garbage", []byte("garbage that is not Snappy"))
}

func TestOpenRefusesUnknownAlgorithm(t *testing.T) {
	keys := testKeys(1, 1)
	ciphertext, sealed := slowSeal(t, "zstd+A256GCM", []byte("x"), [32]byte{}, keys)
	if _, err := Open(nil, ciphertext, &sealed, pointers(keys)); !errors.Is(err, ErrSealed) {
		t.Fatalf("unknown algorithm: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	keys := testKeys(2, 3)
	s := testSealer(f)
	for _, plain := range []string{"", "short", strings.Repeat("long enough to be compressed ", 20)} {
		var sealed Sealed
		ciphertext, err := s.Seal(nil, []byte(plain), prepared(keys), &sealed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ciphertext, AppendSealed(nil, &sealed))
	}
	f.Fuzz(func(t *testing.T, ciphertext, content []byte) {
		var sealed Sealed
		if ParseSealed(content, &sealed) != nil {
			return
		}
		// Fuzzing cannot find a hash, so it is made to fit: what lies behind must hold as well.
		sealed.SHA256 = sha256Of(ciphertext)
		plain, err := Open(nil, ciphertext, &sealed, pointers(keys))
		if err != nil {
			if plain != nil {
				t.Fatal("something was handed out with an error")
			}
			return
		}
		packed := plain
		if sealed.Algorithm == AlgorithmSnappy {
			packed = s2.EncodeSnappy(nil, plain)
		}
		if again, _ := slowSeal(t, sealed.Algorithm, packed, sealed.Salt, keys); !bytes.Equal(again, ciphertext) {
			t.Fatal("opened what was not sealed")
		}
	})
}
