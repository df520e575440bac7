package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// A proof is good for whoever trusts the key; for whoever wants a witness besides, if that has signed.
func TestVerifyProofWithWitness(t *testing.T) {
	private, key, err := note.GenerateKey(rand.Reader, "acme")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	witness := func() *torchwood.CosignatureSigner {
		_, secret, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		w, err := torchwood.NewCosignatureSigner("witness.example/1", secret)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	asked, other := witness(), witness()
	h := chain.Header{Log: "agent.events/0", Source: chain.Source{Offset: chain.NoOffset}, Kind: chain.KindControl}
	entry := chain.AppendEntry(nil, &h, chain.AppendControl(nil, &chain.Control{Op: chain.OpOpen, NextEpoch: 202611, Deployment: "acme", Topic: "agent.events"}))
	point := chain.Checkpoint{Deployment: "acme", Log: "agent.events/0", Size: 1, Root: chain.LeafHash(entry)}
	f := func(code int, says string, args []string, signers ...note.Signer) {
		t.Helper()
		signed, err := point.Sign(signers...)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "proof")
		if err := os.WriteFile(path, chain.FormatProof(0, entry, nil, signed), 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		got := Main(append([]string{"verify-proof", path, "--key", key}, args...), nil, strings.NewReader(""), &stdout, &stderr)
		if got != code || !strings.Contains(stdout.String()+stderr.String(), says) {
			t.Errorf("exit code %d, %s%s; want %d and %q", got, stdout.String(), stderr.String(), code, says)
		}
	}
	want := []string{"--witness", asked.Verifier().String()}
	f(0, "good: entry 0 of agent.events/0", nil, signer)
	f(0, "good: entry 0 of agent.events/0", nil, signer, asked)
	f(0, "good: entry 0 of agent.events/0", want, signer, other, asked)
	f(1, "BAD: witness witness.example/1 has not signed it", want, signer)
	f(1, "BAD: witness witness.example/1 has not signed it", want, signer, other)
	f(1, "BAD: no signature of a known key", want, asked)
	f(2, "key 2 is not the public key of a witness", append(want, "--witness", key), signer, asked)
}
