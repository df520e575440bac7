package chain

import (
	"bufio"
	"bytes"
	"errors"
	"testing"
	"testing/iotest"

	"golang.org/x/mod/sumdb/note"
)

// provable is a log of some entries with its tiles and a signed checkpoint.
type provable struct {
	entries []stored
	tiles   *kept
	point   Checkpoint
	signed  []byte
	known   note.Verifiers
}

func newProvable(t testing.TB, entries int) *provable {
	t.Helper()
	b := &logBuilder{head: EmptyHead("agent.events/3")}
	b.control(t, &Control{Op: OpOpen, Deployment: "acme", Topic: "agent.events", Partition: 3, NextEpoch: 202611})
	for len(b.entries) < entries {
		b.record(t, KindEvent, []byte(eventBody))
	}
	p := &provable{entries: b.entries, tiles: newKept()}
	for _, e := range b.entries {
		p.tiles.append(t, e.leaf)
	}
	signer, verifier := keyPair(t, "acme")
	p.known = note.VerifierList(verifier)
	p.point = Checkpoint{Deployment: "acme", Log: "agent.events/3", Size: uint64(entries), Root: p.tiles.tree.Root()}
	signed, err := p.point.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	p.signed = signed
	return p
}

func (p *provable) prove(t testing.TB, seq uint64) []byte {
	t.Helper()
	inclusion, err := Inclusion(p.point.Size, p.point.Root, seq, p.tiles)
	if err != nil {
		t.Fatal(err)
	}
	return FormatProof(seq, p.entries[seq].entry, inclusion, p.signed)
}

func TestProof(t *testing.T) {
	p := newProvable(t, 700)
	for _, seq := range []uint64{0, 1, 255, 256, 511, 512, 699} {
		proof, err := OpenProof(p.prove(t, seq), p.known)
		if err != nil {
			t.Fatalf("entry %d: %v", seq, err)
		}
		if proof.Header.Seq != seq || proof.Checkpoint != p.point || !bytes.Equal(proof.Entry, p.entries[seq].entry) || len(proof.Signatures) != 1 {
			t.Errorf("entry %d: %+v", seq, proof)
		}
	}
	if _, err := Inclusion(p.point.Size, p.point.Root, 700, p.tiles); err == nil {
		t.Error("proved an entry behind the checkpoint")
	}
	if _, err := Inclusion(p.point.Size, numberedLeaf(1), 5, p.tiles); err == nil {
		t.Error("proved from tiles that do not belong to the root")
	}
}

func TestProofRefuses(t *testing.T) {
	p := newProvable(t, 300)
	good := p.prove(t, 17)
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		proof, err := OpenProof(changed, p.known)
		if err == nil && !bytes.Equal(proof.Entry, p.entries[17].entry) {
			t.Errorf("byte %d changed: another entry is proved", i)
		}
	}
	_, stranger := keyPair(t, "acme")
	if _, err := OpenProof(good, note.VerifierList(stranger)); !errors.Is(err, ErrNotSigned) {
		t.Errorf("opened with a stranger's key: %v", err)
	}
	inclusion, err := Inclusion(p.point.Size, p.point.Root, 17, p.tiles)
	if err != nil {
		t.Fatal(err)
	}
	for name, proof := range map[string][]byte{
		"another entry":   FormatProof(17, p.entries[18].entry, inclusion, p.signed),
		"another seq":     FormatProof(18, p.entries[17].entry, inclusion, p.signed),
		"one hash less":   FormatProof(17, p.entries[17].entry, inclusion[1:], p.signed),
		"no checkpoint":   FormatProof(17, p.entries[17].entry, inclusion, nil),
		"nothing":         nil,
		"too large":       make([]byte, MaxProofBytes+1),
		"a checkpoint":    p.signed,
		"without entry":   []byte("c2sp.org/tlog-proof@v1\nindex 17\n\n" + string(p.signed)),
		"negative index":  bytes.Replace(good, []byte("index 17"), []byte("index -17"), 1),
		"index with plus": bytes.Replace(good, []byte("index 17"), []byte("index +17"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := OpenProof(proof, p.known); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// A signed tree over leaves that are no entries of the log that its origin names proves nothing.
func TestProofOfForeignLeaf(t *testing.T) {
	p := newProvable(t, 5)
	signer, verifier := keyPair(t, "acme")
	for name, c := range map[string]struct {
		log   string
		entry []byte
		seq   uint64
	}{
		"another log":  {"agent.events/4", p.entries[3].entry, 0},
		"another seq":  {"agent.events/3", p.entries[3].entry, 0},
		"not an entry": {"agent.events/3", []byte("hello"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKept()
			k.append(t, LeafHash(c.entry))
			point := Checkpoint{Deployment: "acme", Log: c.log, Size: 1, Root: k.tree.Root()}
			signed, err := point.Sign(signer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := OpenProof(FormatProof(c.seq, c.entry, nil, signed), note.VerifierList(verifier)); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestSplitProofs(t *testing.T) {
	p := newProvable(t, 300)
	a, b := p.prove(t, 3), p.prove(t, 270)
	proofs, err := SplitProofs(append(bytes.Clone(a), b...))
	if err != nil || len(proofs) != 2 || !bytes.Equal(proofs[0], a) || !bytes.Equal(proofs[1], b) {
		t.Errorf("%d proofs, %v", len(proofs), err)
	}
	stream := bufio.NewScanner(iotest.OneByteReader(bytes.NewReader(append(bytes.Clone(a), b...))))
	stream.Buffer(nil, MaxProofBytes)
	stream.Split(SplitProof)
	for i, want := range [][]byte{a, b} {
		if !stream.Scan() || !bytes.Equal(stream.Bytes(), want) {
			t.Errorf("proof %d of the stream: %v", i, stream.Err())
		}
	}
	if stream.Scan() || stream.Err() != nil {
		t.Errorf("more than was there: %v", stream.Err())
	}
	if _, err := SplitProofs([]byte("hello")); err == nil {
		t.Error("split something else")
	}
}

func FuzzOpenProof(f *testing.F) {
	p := newProvable(f, 300)
	f.Add(p.prove(f, 17))
	f.Add(p.prove(f, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		if proof, err := OpenProof(b, p.known); err == nil && !bytes.Equal(proof.Entry, p.entries[proof.Header.Seq].entry) {
			t.Error("proved an entry that is not in the log")
		}
		proofs, err := SplitProofs(b)
		if err != nil {
			return
		}
		if !bytes.Equal(bytes.Join(proofs, nil), b) {
			t.Error("splitting lost bytes")
		}
		stream := bufio.NewScanner(bytes.NewReader(b))
		stream.Buffer(nil, len(b)+1)
		stream.Split(SplitProof)
		for i := range proofs {
			if !stream.Scan() || !bytes.Equal(stream.Bytes(), proofs[i]) {
				t.Errorf("proof %d of the stream is another one", i)
			}
		}
	})
}
