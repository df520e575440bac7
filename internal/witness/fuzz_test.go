package witness

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// FuzzAnswer: whatever a witness answers, only its own cosignature of the very checkpoint it was shown is put below it.
func FuzzAnswer(f *testing.F) {
	w, err := torchwood.NewCosignatureSigner("witness.example/w1", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	const text = "test/agent.events/0\n12\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	const point = text + "\n— test AAAAAAAAAAA=\n"
	good, err := note.Sign(&note.Note{Text: text}, w)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(lines(good)), uint64(12))
	f.Add([]byte("13\n"), uint64(7))
	f.Add([]byte("\n\n"), uint64(0))
	c := &Client{verifier: w.Verifier()}
	f.Fuzz(func(t *testing.T, answer []byte, old uint64) {
		cosigned, err := c.cosign([]byte(point), answer)
		if err == nil {
			n, err := note.Open(cosigned, note.VerifierList(w.Verifier()))
			if err != nil || n.Text != text || !bytes.HasPrefix(cosigned, []byte(point)) {
				t.Errorf("%q: %v", cosigned, err)
			}
		} else if !errors.Is(err, ErrAnswer) {
			t.Error(err)
		}
		var ahead *AheadError
		if err := conflict(old, 12, sizeType, answer); err == nil || errors.As(err, &ahead) && ahead.Size <= 12 {
			t.Errorf("a conflict is %v", err)
		}
	})
}
