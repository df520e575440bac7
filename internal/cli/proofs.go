package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/witness"
	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
)

type checkpointCommand struct {
	Log       string `help:"Of this log only, such as agent.events/3." placeholder:"L"`
	Witnessed bool   `help:"Print the newest that witnesses have signed instead, with their cosignatures."`
}

// Help is printed by `checkpoint --help`.
func (checkpointCommand) Help() string {
	return `Prints the latest signed checkpoint of each log: who vouches for it, how many entries it has, the root of the tree over them, and
the signatures. Keep one away from these machines: 'verify --checkpoint FILE' then finds whatever was changed since, even
by somebody who has all keys and passwords. One that witnesses have signed (--witnessed) is a little older, and whoever trusts a
witness knows from it that everybody was shown the same history.`
}

func (c *checkpointCommand) Run(ctx context.Context, w *world) error {
	systems, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer systems.Close()
	checkpoints, err := systems.Vault.Checkpoints(ctx)
	if err != nil {
		return err
	}
	printed := false
	for _, point := range checkpoints {
		if c.Log != "" && point.Log != c.Log {
			continue
		}
		note := []byte(point.Note)
		if c.Witnessed {
			kept, err := systems.Vault.Cosigned(ctx, point.Log)
			if err != nil {
				return err
			}
			if note = witness.Newest(kept); note == nil {
				continue
			}
		}
		if printed {
			if _, err := io.WriteString(w.stdout, "\n"); err != nil {
				return err
			}
		}
		if _, err := w.stdout.Write(note); err != nil {
			return err
		}
		printed = true
	}
	switch {
	case printed:
		return nil
	case c.Log != "" && !slices.ContainsFunc(checkpoints, func(point vault.Checkpoint) bool { return point.Log == c.Log }):
		return fmt.Errorf("there is no checkpoint of %s: 'log list' prints the logs", printable(c.Log))
	case c.Witnessed:
		return errors.New("no witness has signed a checkpoint yet: see exporter.witnesses")
	}
	return errors.New("there is no checkpoint yet; the exporter makes one within a second of the first entry")
}

type proveCommand struct {
	EventID   string  `arg:"" optional:"" help:"Id of the event." placeholder:"EVENT_ID"`
	Log       string  `help:"The log, with --seq instead of an event's id." placeholder:"L"`
	Seq       *uint64 `help:"Place of the entry in the log." placeholder:"N"`
	Witnessed bool    `help:"Prove it below the newest checkpoint that witnesses have signed."`
	Out       string  `help:"Write the proof to this file." placeholder:"FILE"`
}

// Help is printed by `prove --help`.
func (proveCommand) Help() string {
	return `Writes a proof that an entry stands in a log: the entry, the hashes that lead from it to the root of the log's tree, and the
signed checkpoint (C2SP tlog-proof). 'verify-proof' checks it with nothing but the public key. Entries of one event's id, should
there be several, are proved one behind the other.`
}

func (c *proveCommand) Run(ctx context.Context, w *world) error {
	byPlace := c.Log != "" && c.Seq != nil
	if (c.EventID == "") != byPlace || (c.Log != "") != (c.Seq != nil) {
		return errors.New("prove: wanted the id of an event, or --log and --seq")
	}
	systems, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer systems.Close()
	prover := &prove.Prover{Store: systems.Store, Vault: systems.Vault, Witnessed: c.Witnessed}
	var file []byte
	if byPlace {
		file, err = prover.Entry(ctx, c.Log, *c.Seq)
	} else {
		id, ok := events.ParseUUID([]byte(c.EventID))
		if !ok {
			return fmt.Errorf("prove: %s is not the id of an event (a UUID)", printable(c.EventID))
		}
		var proofs [][]byte
		proofs, err = prover.Event(ctx, id)
		file = bytes.Join(proofs, nil)
	}
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = w.stdout.Write(file)
		return err
	}
	if err := os.WriteFile(c.Out, file, 0o600); err != nil {
		return fmt.Errorf("write the proof: %w", err)
	}
	_, err = fmt.Fprintf(w.stdout, "wrote %s\n", c.Out)
	return err
}

type verifyProofCommand struct {
	File    string   `arg:"" help:"File with one proof or more; - for standard input." placeholder:"FILE"`
	Key     []string `required:"" help:"Public key of the deployment's checkpoints; may be given again." placeholder:"VKEY" sep:"none"`
	Witness []string `help:"Public key of a witness that must have signed the checkpoint; may be given again." placeholder:"VKEY" sep:"none"`
	JSON    bool     `help:"Print the result as JSON."`
}

// Help is printed by `verify-proof --help`.
func (verifyProofCommand) Help() string {
	return `Checks a proof without any server or database: that the checkpoint is signed by the key, that the entry is at its place in the tree
below it, and prints the entry. Exit code 1 if anything is wrong. 'keys list' prints the public keys.`
}

// provenEntry is one proof in `verify-proof --json`.
type provenEntry struct {
	OK         bool            `json:"ok"`
	Error      string          `json:"error,omitempty"`
	Deployment string          `json:"deployment,omitempty"`
	Log        string          `json:"log,omitempty"`
	Seq        uint64          `json:"seq"`
	Size       uint64          `json:"size,omitempty"` // of the checkpoint
	Root       string          `json:"root,omitempty"`
	Keys       []string        `json:"keys,omitempty"` // that have signed, of those given
	Entry      json.RawMessage `json:"entry,omitempty"`
}

func (c *verifyProofCommand) Run(w *world) error {
	known, err := logkeys.Verifiers(c.Key)
	if err != nil {
		return err
	}
	witnesses, err := chain.ParseWitnesses(c.Witness)
	if err != nil {
		return err
	}
	file, err := readProofs(c.File, w.stdin)
	if err != nil {
		return err
	}
	proofs, err := chain.SplitProofs(file)
	if err != nil {
		proofs = [][]byte{file} // one thing that is no proof
	}
	results := make([]provenEntry, len(proofs))
	good := true
	for i, text := range proofs {
		proof, err := chain.OpenProof(text, known)
		if err == nil {
			err = witnesses.Check(proof.Signed)
		}
		if err != nil {
			results[i], good = provenEntry{Error: err.Error()}, false
			continue
		}
		results[i] = provenEntry{
			OK: true, Deployment: proof.Checkpoint.Deployment, Log: proof.Header.Log, Seq: proof.Header.Seq,
			Size: proof.Checkpoint.Size, Root: hex.EncodeToString(proof.Checkpoint.Root[:]), Entry: proof.Entry,
		}
		for _, sig := range proof.Signatures {
			results[i].Keys = append(results[i].Keys, fmt.Sprintf("%s+%08x", sig.Name, sig.Hash))
		}
	}
	if err := c.print(w.stdout, results); err != nil {
		return err
	}
	if !good {
		return errNo
	}
	return nil
}

func (c *verifyProofCommand) print(out io.Writer, results []provenEntry) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(results)
	}
	for _, r := range results {
		if !r.OK {
			if _, err := fmt.Fprintf(out, "BAD: %s\n", r.Error); err != nil {
				return err
			}
			continue
		}
		if _, err := fmt.Fprintf(out, "good: entry %d of %s, one of %d that %s vouches for\nsigned by %s\n%s\n",
			r.Seq, r.Log, r.Size, r.Deployment, strings.Join(r.Keys, ", "), r.Entry); err != nil {
			return err
		}
	}
	return nil
}

// maxProofFile bounds a file of proofs.
const maxProofFile = 256 << 20

func readProofs(path string, stdin io.Reader) ([]byte, error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the proof: %w", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxProofFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the proof: %w", err)
	case len(text) > maxProofFile:
		return nil, fmt.Errorf("read the proof: more than %d bytes", maxProofFile)
	}
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n') // which shells and mail programs drop at the end
	}
	return text, nil
}
