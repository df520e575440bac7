package chain

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

func newWitness(t testing.TB, name string) *torchwood.CosignatureSigner {
	t.Helper()
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner(name, secret)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// A checkpoint with cosignatures is the same checkpoint to whoever does not know the witnesses, and stands in files of several like any other.
func TestCosignedCheckpoint(t *testing.T) {
	signer, verifier := keyPair(t, "acme/prod")
	first, second, stranger := newWitness(t, "witness.example/1"), newWitness(t, "witness.example/2"), newWitness(t, "witness.example/1")
	c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3", Size: 12, Root: numberedLeaf(7)}
	plain, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := c.Sign(signer, first, second)
	if err != nil {
		t.Fatal(err)
	}
	keys := note.VerifierList(verifier)
	if got, signatures, err := OpenCheckpoint(signed, keys); err != nil || got != c || len(signatures) != 1 {
		t.Errorf("opened: %+v, %d signatures, %v", got, len(signatures), err)
	}
	if got, err := ReadCheckpoint(signed); err != nil || got != c {
		t.Errorf("read: %+v, %v", got, err)
	}
	parts := SplitCheckpoints(bytes.Join([][]byte{signed, plain, signed}, []byte("\n")))
	if len(parts) != 3 || !bytes.Equal(parts[0], signed) || !bytes.Equal(parts[1], plain) || !bytes.Equal(parts[2], signed) {
		t.Errorf("parted into %q", parts)
	}
	// A witness alone vouches for nothing, whatever it calls itself.
	alone, err := c.Sign(newWitness(t, "acme/prod"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCheckpoint(alone, keys); !errors.Is(err, ErrNotSigned) {
		t.Errorf("opened what a witness alone has signed: %v", err)
	}

	f := func(name string, signed []byte, want string, witnesses ...*torchwood.CosignatureSigner) {
		t.Helper()
		var vkeys []string
		for _, w := range witnesses {
			vkeys = append(vkeys, w.Verifier().String())
		}
		known, err := ParseWitnesses(vkeys)
		if err != nil {
			t.Fatal(err)
		}
		if err := known.Check(signed); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	f("none asked for", plain, "")
	f("both", signed, "", first, second)
	f("one", signed, "", second)
	f("not cosigned", plain, "has not signed it", first)
	f("another witness of that name", signed, "has not signed it", first, stranger)
	f("not valid", bytes.Replace(signed, []byte("\n12\n"), []byte("\n13\n"), 1), "not valid", first)
	f("no note", []byte("hello\n"), "checkpoint", first)
	f("too large", bytes.Repeat(signed, 1000), "bytes", first)
}

func TestParseWitnessesRefuses(t *testing.T) {
	_, plain, err := note.GenerateKey(rand.Reader, "witness.example/1")
	if err != nil {
		t.Fatal(err)
	}
	for name, vkey := range map[string]string{"nothing": "", "a key of a note": plain, "cut": newWitness(t, "w").Verifier().String()[:20]} {
		if _, err := ParseWitnesses([]string{newWitness(t, "w").Verifier().String(), vkey}); err == nil || !strings.Contains(err.Error(), "key 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
