package chain

import (
	"errors"
	"fmt"
	"strings"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxCheckpointBytes bounds a signed checkpoint that is read: text, our signatures and those of some witnesses are far below it.
const MaxCheckpointBytes = 64 << 10

// Checkpoint is the state of a log that its deployment vouches for (C2SP tlog-checkpoint).
type Checkpoint struct {
	Deployment string
	Log        string
	Size       uint64 // entries, at least 1
	Root       Hash   // of the Merkle tree over their leaf hashes
}

// ErrNotSigned: no valid signature of a known key stands below a checkpoint.
var ErrNotSigned = errors.New("no signature of a known key")

// Origin returns what names a log to the world: `<deployment>/<log>`.
func Origin(deployment, log string) string { return deployment + "/" + log }

// Text returns what is signed: origin, size and root, a line each.
func (c *Checkpoint) Text() string {
	return torchwood.Checkpoint{
		Origin: Origin(c.Deployment, c.Log),
		Tree:   tlog.Tree{N: int64(c.Size), Hash: tlog.Hash(c.Root)},
	}.String()
}

// Sign returns the checkpoint as a note signed by all signers (C2SP signed-note). Ed25519 signs the same text in the same way each time, so two that sign
// the same state make the same bytes.
func (c *Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	if c.Size == 0 || c.Size > 1<<63-1 {
		return nil, fmt.Errorf("checkpoint of %s at %d entries", c.Log, c.Size)
	}
	if len(signers) == 0 {
		return nil, errors.New("no key to sign the checkpoint with")
	}
	return note.Sign(&note.Note{Text: c.Text()}, signers...)
}

// OpenCheckpoint checks the signatures of a note and returns the checkpoint and the signatures of known keys, one at least. The log's own key bears the
// deployment's name: a signature of another deployment's key, or of a witness alone, is ErrNotSigned. What signs must name its deployment, or a key of one
// deployment could vouch for the logs of another.
func OpenCheckpoint(signed []byte, known note.Verifiers) (Checkpoint, []note.Signature, error) {
	if len(signed) > MaxCheckpointBytes {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint of %d bytes: at most %d are read", len(signed), MaxCheckpointBytes)
	}
	n, err := note.Open(signed, known)
	if err != nil {
		var unknown *note.UnverifiedNoteError
		if errors.As(err, &unknown) {
			return Checkpoint{}, nil, ErrNotSigned
		}
		return Checkpoint{}, nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := parseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if err := signedBy(c.Deployment, n.Sigs); err != nil {
		return Checkpoint{}, nil, err
	}
	return c, n.Sigs, nil
}

// signedBy looks for a key with the deployment's name among verified signatures.
func signedBy(deployment string, signatures []note.Signature) error {
	for _, sig := range signatures {
		if sig.Name == deployment {
			return nil
		}
	}
	return ErrNotSigned
}

// ReadCheckpoint returns what a note says without looking at its signatures.
func ReadCheckpoint(signed []byte) (Checkpoint, error) {
	if len(signed) > MaxCheckpointBytes {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes: at most %d are read", len(signed), MaxCheckpointBytes)
	}
	text, _, ok := strings.Cut(string(signed), "\n\n")
	if !ok {
		return Checkpoint{}, errors.New("checkpoint without signatures")
	}
	return parseCheckpoint(text + "\n")
}

func parseCheckpoint(text string) (Checkpoint, error) {
	c, err := torchwood.ParseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, errors.New("not a checkpoint: origin, size and root expected, a line each")
	}
	deployment, log, ok := cutOrigin(c.Origin)
	if !ok {
		return Checkpoint{}, errors.New("not a checkpoint of agentaudit: its origin is not <deployment>/<topic>/<partition>")
	}
	if c.Extension != "" {
		return Checkpoint{}, errors.New("checkpoint with lines that nobody here has written")
	}
	if c.N == 0 {
		return Checkpoint{}, errors.New("checkpoint of an empty log")
	}
	point := Checkpoint{Deployment: deployment, Log: log, Size: uint64(c.N), Root: Hash(c.Hash)}
	if point.Text() != text {
		// Base64 has unused bits here, and the decoder would skip line ends.
		return Checkpoint{}, errors.New("not a checkpoint: its root is not in the one form that it has")
	}
	return point, nil
}

// cutOrigin parts a deployment, which may have slashes in its name, from a log, which has one.
func cutOrigin(origin string) (deployment, log string, ok bool) {
	place := strings.LastIndexByte(origin, '/')
	if place < 0 {
		return "", "", false
	}
	topic := strings.LastIndexByte(origin[:place], '/')
	if topic < 0 {
		return "", "", false
	}
	deployment, log = origin[:topic], origin[topic+1:]
	_, _, _, err := ParseLog(log)
	return deployment, log, err == nil && CheckDeployment(deployment) == nil
}

// SplitCheckpoints parts signed checkpoints that stand behind each other with empty lines between them or without. What is none is found when it is opened.
func SplitCheckpoints(file []byte) [][]byte {
	var notes [][]byte
	for rest := string(file); rest != ""; {
		// A note is its text, an empty line, and lines that begin with an em dash.
		text, signatures, _ := strings.Cut(rest, "\n\n")
		lines := 0
		for strings.HasPrefix(signatures[lines:], "— ") {
			end := strings.IndexByte(signatures[lines:], '\n')
			if end < 0 {
				lines = len(signatures)
				break
			}
			lines += end + 1
		}
		signed := text + "\n\n" + signatures[:lines]
		if !strings.HasSuffix(signed, "\n") {
			signed += "\n" // which shells and mail programs drop at the end
		}
		notes = append(notes, []byte(signed))
		rest = strings.TrimLeft(signatures[lines:], "\n")
	}
	return notes
}
