package chain

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// keyPair makes a signing key and what verifies it.
func keyPair(t testing.TB, name string) (note.Signer, note.Verifier) {
	t.Helper()
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, verifier
}

func TestCheckpointText(t *testing.T) {
	c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3", Size: 923748}
	const want = "acme/prod/agent.events/3\n923748\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	if got := c.Text(); got != want {
		t.Errorf("text %q, expected %q", got, want)
	}
}

func TestCheckpointSignAndOpen(t *testing.T) {
	signer, verifier := keyPair(t, "acme/prod")
	next, nextVerifier := keyPair(t, "acme/prod")
	_, stranger := keyPair(t, "acme/prod")
	c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3.1", Size: 12, Root: numberedLeaf(7)}
	signed, err := c.Sign(signer, next)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Sign(signer, next)
	if err != nil || !bytes.Equal(signed, again) {
		t.Error("signing the same state twice makes other bytes")
	}
	for name, known := range map[string]note.Verifiers{
		"first key": note.VerifierList(verifier), "next key": note.VerifierList(nextVerifier), "both": note.VerifierList(verifier, nextVerifier),
	} {
		got, signatures, err := OpenCheckpoint(signed, known)
		if err != nil || got != c || len(signatures) == 0 {
			t.Errorf("%s: %+v, %d signatures, %v", name, got, len(signatures), err)
		}
	}
	if _, _, err := OpenCheckpoint(signed, note.VerifierList(stranger)); !errors.Is(err, ErrNotSigned) {
		t.Errorf("opened with a stranger's key: %v", err)
	}
	if got, err := ReadCheckpoint(signed); err != nil || got != c {
		t.Errorf("read: %+v, %v", got, err)
	}
}

// A key vouches for the logs of its own deployment only, though a verifier may know the keys of several.
func TestCheckpointOfAnotherDeployment(t *testing.T) {
	signer, verifier := keyPair(t, "acme/test")
	c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3", Size: 12, Root: numberedLeaf(7)}
	signed, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenCheckpoint(signed, note.VerifierList(verifier)); !errors.Is(err, ErrNotSigned) {
		t.Errorf("opened: %v", err)
	}
}

func TestCheckpointRefuses(t *testing.T) {
	signer, verifier := keyPair(t, "acme/prod")
	root := "3Rb/ZY0hkVLh1vrvYYaTqrtgNNvVSHcVfqh3KcD+x1o="
	for name, text := range map[string]string{
		"no log":            "acme/prod\n12\n" + root + "\n",
		"no deployment":     "agent.events/3\n12\n" + root + "\n",
		"no partition":      "acme/prod/agent.events/x\n12\n" + root + "\n",
		"empty log":         "acme/prod/agent.events/3\n0\n" + root + "\n",
		"leading zero":      "acme/prod/agent.events/3\n012\n" + root + "\n",
		"negative":          "acme/prod/agent.events/3\n-12\n" + root + "\n",
		"beyond 2^63":       "acme/prod/agent.events/3\n9223372036854775808\n" + root + "\n",
		"short root":        "acme/prod/agent.events/3\n12\nAAAA\n",
		"extension":         "acme/prod/agent.events/3\n12\n" + root + "\nmore\n",
		"two lines":         "acme/prod/agent.events/3\n12\n",
		"deployment spaced": "acme prod/agent.events/3\n12\n" + root + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			signed, err := note.Sign(&note.Note{Text: text}, signer)
			if err != nil {
				t.Fatal(err)
			}
			if c, _, err := OpenCheckpoint(signed, note.VerifierList(verifier)); err == nil {
				t.Errorf("opened as %+v", c)
			}
			if c, err := ReadCheckpoint(signed); err == nil {
				t.Errorf("read as %+v", c)
			}
		})
	}
	c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3", Size: 12, Root: numberedLeaf(7)}
	signed, err := c.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range signed {
		changed := bytes.Clone(signed)
		changed[i] ^= 1
		if got, _, err := OpenCheckpoint(changed, note.VerifierList(verifier)); err == nil && got != c {
			t.Errorf("byte %d changed: opened as %+v", i, got)
		}
	}
	if _, _, err := OpenCheckpoint(make([]byte, MaxCheckpointBytes+1), note.VerifierList(verifier)); err == nil {
		t.Error("opened something huge")
	}
	if _, err := c.Sign(); err == nil {
		t.Error("signed with no key")
	}
	empty := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3"}
	if _, err := empty.Sign(signer); err == nil {
		t.Error("signed an empty log")
	}
}

func FuzzOpenCheckpoint(f *testing.F) {
	signer, verifier := keyPair(f, "acme/prod")
	c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3", Size: 12, Root: numberedLeaf(7)}
	signed, err := c.Sign(signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte("a/b/0\n1\n\n\n— a sig\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, _, err := OpenCheckpoint(b, note.VerifierList(verifier)); err == nil && got != c {
			t.Errorf("opened as %+v, which nobody signed", got)
		}
		if got, err := ReadCheckpoint(b); err == nil && got.Size == 0 {
			t.Error("read a checkpoint of nothing")
		}
	})
}

func TestSplitCheckpoints(t *testing.T) {
	signer, _ := keyPair(t, "acme/prod")
	next, _ := keyPair(t, "acme/prod")
	var notes [][]byte
	for size := range uint64(3) {
		c := Checkpoint{Deployment: "acme/prod", Log: "agent.events/3", Size: size + 1}
		signed, err := c.Sign(signer, next)
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, signed)
	}
	for _, between := range []string{"", "\n", "\n\n"} {
		got := SplitCheckpoints(bytes.Join(notes, []byte(between)))
		if len(got) != 3 || !bytes.Equal(got[0], notes[0]) || !bytes.Equal(got[1], notes[1]) || !bytes.Equal(got[2], notes[2]) {
			t.Errorf("with %q between: %q", between, got)
		}
	}
	if got := SplitCheckpoints(bytes.TrimSpace(notes[0])); len(got) != 1 || !bytes.Equal(got[0], notes[0]) {
		t.Errorf("without its last line break: %q", got)
	}
	if got := SplitCheckpoints(nil); len(got) != 0 {
		t.Errorf("%q in nothing", got)
	}
}

func FuzzSplitCheckpoints(f *testing.F) {
	f.Add([]byte("a\n1\nb\n\n— a x\n\na\n2\nb\n\n— a y"))
	f.Add([]byte("\n\n\n— "))
	f.Fuzz(func(t *testing.T, file []byte) {
		if notes := SplitCheckpoints(file); len(notes) > len(file) {
			t.Errorf("%d notes in %d bytes", len(notes), len(file))
		}
	})
}
