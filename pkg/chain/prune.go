package chain

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// PrunedFrom is the first entry that retention may drop. Entry 0 says what the log is, and the entries beside it are kept so that its bundle stays whole.
const PrunedFrom = TileWidth

// PrunedPath is where a log's record of pruned entries stands, beside its checkpoint. It is not part of C2SP tlog-tiles.
const PrunedPath = "pruned"

// What a prune record is about.
const (
	PrunedEntries  = "entries"  // entries PrunedFrom to Behind-1 are gone, whole bundles of them; their leaf hashes stay, in the tiles
	PrunedContents = "contents" // the ciphertexts beside the entries below Behind are gone, the entries are not
)

// Pruned is what a deployment signs before it drops a part of a log: that it was there, and how to go on behind it. What remains verifies with it as before,
// and without it the same gap is a fault.
type Pruned struct {
	Deployment string
	Log        string
	What       string // PrunedEntries or PrunedContents
	Behind     uint64 // the first entry that is not concerned. For PrunedEntries a multiple of TileWidth
	Leaf       Hash   // leaf hash of entry Behind-1
	Root       Hash   // of the Merkle tree over the first Behind entries
	Next       int64  // src.next of entry Behind-1
	Epoch      uint32 // in which entry Behind stands
}

// pruneLabel is the first line of a prune record. No origin of a checkpoint looks like it and no second line of one like the record's, so neither passes for
// the other.
const pruneLabel = "agentaudit/prune/v1"

// Text returns what is signed, six lines.
func (p *Pruned) Text() string {
	return fmt.Sprintf("%s\n%s\n%s %d\n%s\n%s\n%d %d\n", pruneLabel, Origin(p.Deployment, p.Log), p.What, p.Behind,
		base64.StdEncoding.EncodeToString(p.Leaf[:]), base64.StdEncoding.EncodeToString(p.Root[:]), p.Next, p.Epoch)
}

// Sign returns the record as a note signed by all signers (C2SP signed-note).
func (p *Pruned) Sign(signers ...note.Signer) ([]byte, error) {
	if read, err := parsePruned(p.Text()); err != nil || read != *p {
		return nil, fmt.Errorf("prune record of %s behind %d: %w", p.Log, p.Behind, errors.Join(err, errPruned))
	}
	if len(signers) == 0 {
		return nil, errors.New("no key to sign the prune record with")
	}
	return note.Sign(&note.Note{Text: p.Text()}, signers...)
}

// OpenPruned checks the signatures of a prune record as OpenCheckpoint does those of a checkpoint: ErrNotSigned, or an error that says that it is none.
func OpenPruned(signed []byte, known note.Verifiers) (Pruned, error) {
	if len(signed) > MaxCheckpointBytes {
		return Pruned{}, fmt.Errorf("prune record of %d bytes: at most %d are read", len(signed), MaxCheckpointBytes)
	}
	n, err := note.Open(signed, known)
	if err != nil {
		var unknown *note.UnverifiedNoteError
		if errors.As(err, &unknown) {
			return Pruned{}, ErrNotSigned
		}
		return Pruned{}, fmt.Errorf("prune record: %w", err)
	}
	p, err := parsePruned(n.Text)
	if err != nil {
		return Pruned{}, err
	}
	return p, signedBy(p.Deployment, n.Sigs)
}

// ReadPruned returns what a record says without looking at its signatures.
func ReadPruned(signed []byte) (Pruned, error) {
	if len(signed) > MaxCheckpointBytes {
		return Pruned{}, fmt.Errorf("prune record of %d bytes: at most %d are read", len(signed), MaxCheckpointBytes)
	}
	text, _, ok := strings.Cut(string(signed), "\n\n")
	if !ok {
		return Pruned{}, errors.New("prune record without signatures")
	}
	return parsePruned(text + "\n")
}

var errPruned = errors.New("not a prune record")

// parsePruned accepts exactly what Text writes for values that make sense.
func parsePruned(text string) (Pruned, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 7 || lines[0] != pruneLabel {
		return Pruned{}, errPruned
	}
	var p Pruned
	var ok bool
	if p.Deployment, p.Log, ok = cutOrigin(lines[1]); !ok {
		return Pruned{}, errPruned
	}
	what, behind, _ := strings.Cut(lines[2], " ")
	next, epoch, _ := strings.Cut(lines[5], " ")
	number, err := strconv.ParseUint(epoch, 10, 32)
	if err != nil || !announceable(uint32(number)) {
		return Pruned{}, errPruned
	}
	p.What, p.Epoch = what, uint32(number)
	if p.Behind, err = strconv.ParseUint(behind, 10, 63); err != nil {
		return Pruned{}, errPruned
	}
	if p.Next, err = strconv.ParseInt(next, 10, 64); err != nil || p.Next < 0 {
		return Pruned{}, errPruned
	}
	if !decodeHash(&p.Leaf, lines[3]) || !decodeHash(&p.Root, lines[4]) || p.Text() != text {
		return Pruned{}, errPruned
	}
	switch {
	case p.What == PrunedContents && p.Behind > 1:
	case p.What == PrunedEntries && p.Behind > PrunedFrom && p.Behind%TileWidth == 0:
	default:
		return Pruned{}, errPruned
	}
	return p, nil
}

func decodeHash(h *Hash, text string) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	return err == nil && copy(h[:], raw) == len(raw) && len(raw) == HashBytes
}

// Skip goes on behind entries that were dropped: it stands before entry PrunedFrom and then before entry p.Behind. The caller vouches for the record's
// signature, and compares p.Root with the tree over the leaf hashes that remain of them. A record that contradicts the entries before gives a *Fault.
func (v *Verifier) Skip(p *Pruned) error {
	if v.fault != nil {
		return v.fault
	}
	head := &v.head
	switch {
	case p.What != PrunedEntries || p.Log != head.Log:
		return v.fail(head.Size, "the prune record is of another log, or of contents")
	case head.Size != PrunedFrom:
		return v.fail(head.Size, fmt.Sprintf("seq %d expected; pruned are entries from %d on", head.Size, PrunedFrom))
	case head.Closed || p.Next < head.Next || p.Epoch < head.NextEpoch:
		return v.fail(head.Size, "the prune record contradicts the entries before")
	}
	*head = Head{Log: p.Log, Size: p.Behind, Leaf: p.Leaf, Epoch: p.Epoch, NextEpoch: p.Epoch, Next: p.Next, LastOffset: NoOffset}
	return nil
}
