package chain

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxProofBytes bounds a proof that is read: an entry in base64, 63 hashes and a checkpoint.
const MaxProofBytes = 256 << 10

// proofHeader is the first line of a proof (C2SP tlog-proof).
const proofHeader = "c2sp.org/tlog-proof@v1\n"

// Proof is what shows, with nothing but a key of its deployment, that an entry stands in a log: a C2SP tlog-proof whose extra data is the entry.
type Proof struct {
	Entry      []byte // as it was hashed
	Header     Header // of the entry
	Checkpoint Checkpoint
	Signatures []note.Signature // of known keys, below the checkpoint
	Signed     []byte           // the checkpoint with all signatures, those of witnesses too: see Witnesses.Check
}

// Inclusion returns the hashes that lead from the entry at seq to the root of a tree of size leaves (RFC 6962, 2.1.1). tiles reads the log's tiles; what
// it reads is checked against the root.
func Inclusion(size uint64, root Hash, seq uint64, tiles tlog.TileReader) (tlog.RecordProof, error) {
	if size > 1<<63-1 || seq >= size {
		return nil, fmt.Errorf("entry %d is not among the %d of the checkpoint", seq, size)
	}
	tree := tlog.Tree{N: int64(size), Hash: tlog.Hash(root)}
	return tlog.ProveRecord(tree.N, int64(seq), tlog.TileHashReader(tree, tiles))
}

// FormatProof writes the proof that entry stands at seq of the log that the signed checkpoint vouches for.
func FormatProof(seq uint64, entry []byte, inclusion tlog.RecordProof, signed []byte) []byte {
	return torchwood.FormatProofWithExtraData(int64(seq), entry, inclusion, signed)
}

// OpenProof checks a proof from the entry to the signature. It is wrong for any of: bytes that are not a proof, a checkpoint without a signature of a known
// key of its deployment (ErrNotSigned), an entry that is not in the tree, one that says that it stands elsewhere or in another log. The error says which.
func OpenProof(proof []byte, known note.Verifiers) (*Proof, error) {
	if len(proof) > MaxProofBytes {
		return nil, fmt.Errorf("proof of %d bytes: at most %d are read", len(proof), MaxProofBytes)
	}
	entry, err := torchwood.ProofExtraData(proof)
	if err != nil {
		return nil, errors.New("not a proof of an entry: " + err.Error())
	}
	if err := torchwood.VerifyProof(proofPolicy{known}, tlog.Hash(LeafHash(entry)), proof); err != nil {
		var other *torchwood.VerifyRecordError
		var unsigned *note.UnverifiedNoteError
		switch {
		case errors.As(err, &other):
			return nil, errors.New("the entry is not at this place of the checkpoint's tree: entry, proof or checkpoint was changed")
		case errors.As(err, &unsigned):
			return nil, ErrNotSigned
		}
		return nil, errors.New("not a proof of an entry: " + err.Error())
	}
	top, signed, found := bytes.Cut(proof, []byte("\n\n"))
	if !found {
		return nil, errors.New("not a proof of an entry: there is no checkpoint")
	}
	index, ok := proofIndex(top, entry)
	if !ok {
		return nil, errors.New("not a proof of an entry: not in the one form that it has")
	}
	p := &Proof{Entry: entry, Signed: signed}
	if p.Checkpoint, p.Signatures, err = OpenCheckpoint(signed, known); err != nil {
		return nil, err
	}
	if _, err := ParseHeader(entry, &p.Header); err != nil {
		return nil, fmt.Errorf("the entry is in the log, but it is none of agentaudit's: %w", err)
	}
	// The tree says only that these bytes are leaf number seq of the origin. The entry must say the same.
	if p.Header.Log != p.Checkpoint.Log {
		return nil, errors.New("the entry belongs to another log than the checkpoint")
	}
	if index != p.Header.Seq {
		return nil, errors.New("the entry stands at another seq than it says")
	}
	return p, nil
}

// proofIndex reads the index of a proof that torchwood has accepted, from what stands above the checkpoint. Torchwood takes numbers with leading zeros and base64
// with anything in its unused bits: then two files could be the same proof, and somebody else's verifier would refuse one of them.
func proofIndex(top, entry []byte) (index uint64, ok bool) {
	rest, ok := bytes.CutPrefix(top, append(base64.StdEncoding.AppendEncode([]byte(proofHeader+"extra "), entry), "\nindex "...))
	lines := bytes.Split(rest, []byte("\n"))
	index, err := strconv.ParseUint(string(lines[0]), 10, 63)
	if !ok || err != nil || strconv.FormatUint(index, 10) != string(lines[0]) {
		return 0, false
	}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(hash) != HashBytes || base64.StdEncoding.EncodeToString(hash) != string(line) {
			return 0, false
		}
	}
	return index, true
}

// SplitProofs parts proofs that stand behind each other in one file.
func SplitProofs(file []byte) ([][]byte, error) {
	if !bytes.HasPrefix(file, []byte(proofHeader)) {
		return nil, errors.New("not a proof: it does not begin with c2sp.org/tlog-proof@v1")
	}
	var proofs [][]byte
	for len(file) > 0 {
		next := bytes.Index(file[len(proofHeader):], []byte("\n"+proofHeader))
		if next < 0 {
			return append(proofs, file), nil
		}
		end := len(proofHeader) + next + 1
		proofs = append(proofs, file[:end])
		file = file[end:]
	}
	return proofs, nil
}

// SplitProof is a bufio.SplitFunc that parts a stream as SplitProofs parts a file. What is no proof comes with what is in front of the next one.
func SplitProof(data []byte, atEOF bool) (advance int, proof []byte, err error) {
	if len(data) == 0 {
		return 0, nil, nil
	}
	if next := bytes.Index(data, []byte("\n"+proofHeader)); next >= 0 {
		return next + 1, data[:next+1], nil
	}
	if !atEOF {
		return 0, nil, nil
	}
	return len(data), data, nil
}

// proofPolicy is what torchwood asks for keys and for its opinion.
type proofPolicy struct{ note.Verifiers }

// Check wants a signature of the deployment that the origin names.
func (proofPolicy) Check(origin string, signatures []note.Signature) error {
	deployment, _, ok := cutOrigin(origin)
	if !ok {
		return errors.New("no origin of agentaudit")
	}
	return signedBy(deployment, signatures)
}
