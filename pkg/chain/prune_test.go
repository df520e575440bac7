package chain

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func samplePruned() Pruned {
	return Pruned{Deployment: "audit.example.com", Log: "agent.events/3", What: PrunedEntries, Behind: 2560, Leaf: Hash{1}, Root: Hash{2}, Next: 4711, Epoch: 202603}
}

func TestPrunedSignAndOpen(t *testing.T) {
	signer, known := signerFor(t, "audit.example.com")
	for _, p := range []Pruned{samplePruned(), {Deployment: "a", Log: "b/0.1", What: PrunedContents, Behind: 2, Epoch: 202601}} {
		s, k := signer, known
		if p.Deployment != "audit.example.com" {
			s, k = signerFor(t, p.Deployment)
		}
		signed, err := p.Sign(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := OpenPruned(signed, k); err != nil || got != p {
			t.Errorf("opened %+v, %v, want %+v", got, err, p)
		}
		if got, err := ReadPruned(signed); err != nil || got != p {
			t.Errorf("read %+v, %v", got, err)
		}
		// Neither passes for the other.
		if _, _, err := OpenCheckpoint(signed, k); err == nil {
			t.Error("a prune record is a checkpoint")
		}
	}
	point := Checkpoint{Deployment: "audit.example.com", Log: "agent.events/3", Size: 2560, Root: Hash{2}}
	signed, err := point.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPruned(signed, known); err == nil {
		t.Error("a checkpoint is a prune record")
	}
}

func TestPrunedRefused(t *testing.T) {
	signer, known := signerFor(t, "audit.example.com")
	f := func(change func(*Pruned)) {
		t.Helper()
		p := samplePruned()
		change(&p)
		if signed, err := p.Sign(signer); err == nil {
			t.Errorf("signed %s", signed)
		}
	}
	f(func(p *Pruned) { p.Behind = 256 })
	f(func(p *Pruned) { p.Behind = 2561 })
	f(func(p *Pruned) { p.Behind = 1 << 63 })
	f(func(p *Pruned) { p.What = "entry" })
	f(func(p *Pruned) { p.What, p.Behind = PrunedContents, 1 })
	f(func(p *Pruned) { p.Epoch = 0 })
	f(func(p *Pruned) { p.Next = -1 })
	f(func(p *Pruned) { p.Log = "x" })
	p := samplePruned()
	signed, err := p.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		strings.Replace(string(signed), "2560", "2816", 1), strings.Replace(string(signed), "entries 2560", "entries 02560", 1),
		strings.Replace(string(signed), "v1", "v2", 1), "", "\n\n", string(signed[:len(signed)-1]),
	} {
		if p, err := OpenPruned([]byte(text), known); err == nil {
			t.Errorf("opened %+v of %q", p, text)
		}
	}
	_, others := signerFor(t, "audit.example.com")
	if _, err := OpenPruned(signed, others); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another key: %v", err)
	}
	stranger, strangers := signerFor(t, "other.example.com")
	foreign, err := p.Sign(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPruned(foreign, strangers); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another deployment's key: %v", err)
	}
}

// A record goes on only where it fits.
func TestVerifierSkip(t *testing.T) {
	head := Head{Log: "agent.events/3", Size: PrunedFrom, Leaf: Hash{9}, Epoch: 202601, NextEpoch: 202601, Next: 300, LastOffset: 299}
	p := samplePruned()
	v := NewVerifierAt(head)
	if err := v.Skip(&p); err != nil || v.Head().Size != p.Behind || v.Head().Leaf != p.Leaf || v.Head().Next != p.Next || v.Head().NextEpoch != p.Epoch {
		t.Errorf("head %+v, %v", v.Head(), err)
	}
	f := func(reason string, change func(*Head, *Pruned)) {
		t.Helper()
		head, p := head, p
		change(&head, &p)
		var fault *Fault
		if err := NewVerifierAt(head).Skip(&p); !errors.As(err, &fault) || !strings.Contains(fault.Reason, reason) {
			t.Errorf("%v, want %s", err, reason)
		}
	}
	f("of another log", func(_ *Head, p *Pruned) { p.Log = "agent.events/4" })
	f("of contents", func(_ *Head, p *Pruned) { p.What = PrunedContents })
	f("pruned are entries from", func(h *Head, _ *Pruned) { h.Size = 255 })
	f("contradicts", func(h *Head, _ *Pruned) { h.Closed = true })
	f("contradicts", func(h *Head, p *Pruned) { h.Next = p.Next + 1 })
	f("contradicts", func(h *Head, p *Pruned) { h.NextEpoch = p.Epoch + 1 })
}

func FuzzReadPruned(f *testing.F) {
	p := samplePruned()
	f.Add([]byte(p.Text() + "\n— audit.example.com AAAA\n"))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, signed []byte) {
		p, err := ReadPruned(signed)
		if err != nil {
			return
		}
		if !strings.HasPrefix(string(signed), p.Text()+"\n") {
			t.Errorf("%q says %q", signed, p.Text())
		}
	})
}

// signerFor makes a key of a deployment.
func signerFor(t *testing.T, deployment string) (note.Signer, note.Verifiers) {
	t.Helper()
	private, public, err := note.GenerateKey(nil, deployment)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	return signer, note.VerifierList(verifier)
}
