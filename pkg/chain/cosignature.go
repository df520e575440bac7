package chain

import (
	"errors"
	"fmt"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// Witnesses are the keys of witnesses all of which must have seen a checkpoint: they have checked that it continues the ones that they saw before.
type Witnesses []*torchwood.CosignatureVerifier

// ParseWitnesses reads public keys of witnesses (C2SP tlog-cosignature, Ed25519). The error names no key but the place of the wrong one.
func ParseWitnesses(vkeys []string) (Witnesses, error) {
	var all Witnesses
	for i, vkey := range vkeys {
		verifier, err := torchwood.NewCosignatureVerifier(vkey)
		if err != nil {
			return nil, fmt.Errorf("key %d is not the public key of a witness: <name>+<8 hex digits>+<base64> of cosignature/v1 expected", i+1)
		}
		all = append(all, verifier)
	}
	return all, nil
}

// Check says whether a note bears a valid cosignature of every witness. Who else has signed it, the log's own key among them, it does not look at: see
// OpenCheckpoint.
func (w Witnesses) Check(signed []byte) error {
	if len(w) > 0 && len(signed) > MaxCheckpointBytes {
		return fmt.Errorf("checkpoint of %d bytes: at most %d are read", len(signed), MaxCheckpointBytes)
	}
	for _, verifier := range w {
		_, err := note.Open(signed, note.VerifierList(verifier))
		var unknown *note.UnverifiedNoteError
		var invalid *note.InvalidSignatureError
		switch {
		case errors.As(err, &unknown):
			return fmt.Errorf("witness %s has not signed it", verifier.Name())
		case errors.As(err, &invalid):
			return fmt.Errorf("the cosignature of witness %s is not valid", verifier.Name())
		case err != nil:
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	return nil
}
