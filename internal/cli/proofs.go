package cli

import (
	"bufio"
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

	"golang.org/x/mod/sumdb/note"

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
	in := w.stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("read the proof: %w", err)
		}
		defer file.Close()
		in = file
	}
	out := bufio.NewWriter(w.stdout)
	good, err := c.check(in, known, witnesses, out)
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if !good {
		return errNo
	}
	return nil
}

// check checks proofs one by one: somebody's export may have millions in a file.
func (c *verifyProofCommand) check(in io.Reader, known note.Verifiers, witnesses chain.Witnesses, out io.Writer) (good bool, err error) {
	proofs := bufio.NewScanner(in)
	proofs.Buffer(nil, maxProofToken)
	proofs.Split(chain.SplitProof)
	good = true
	before := "["
	one := func(text []byte) error {
		r := checkProof(text, known, witnesses)
		good = good && r.OK
		if !c.JSON {
			return r.print(out)
		}
		line, err := json.Marshal(r)
		if err == nil {
			_, err = fmt.Fprintf(out, "%s%s", before, line)
		}
		before = ","
		return err
	}
	some := false
	for proofs.Scan() && err == nil {
		some = true
		err = one(proofs.Bytes())
	}
	switch {
	case err != nil:
		return false, err
	case errors.Is(proofs.Err(), bufio.ErrTooLong):
		err = one(nil) // what is that long is no proof
	case proofs.Err() != nil:
		return false, fmt.Errorf("read the proof: %w", proofs.Err())
	case !some:
		err = one(nil)
	}
	if c.JSON && err == nil {
		_, err = io.WriteString(out, "]\n")
	}
	return good, err
}

// maxProofToken is more than any proof has, and the beginning of the next.
const maxProofToken = chain.MaxProofBytes + 1024

func checkProof(text []byte, known note.Verifiers, witnesses chain.Witnesses) provenEntry {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		text = append(bytes.Clone(text), '\n') // which shells and mail programs drop at the end
	}
	proof, err := chain.OpenProof(text, known)
	if err == nil {
		err = witnesses.Check(proof.Signed)
	}
	if err != nil {
		return provenEntry{Error: err.Error()}
	}
	r := provenEntry{
		OK: true, Deployment: proof.Checkpoint.Deployment, Log: proof.Header.Log, Seq: proof.Header.Seq,
		Size: proof.Checkpoint.Size, Root: hex.EncodeToString(proof.Checkpoint.Root[:]), Entry: proof.Entry,
	}
	for _, sig := range proof.Signatures {
		r.Keys = append(r.Keys, fmt.Sprintf("%s+%08x", sig.Name, sig.Hash))
	}
	return r
}

func (r *provenEntry) print(out io.Writer) error {
	if !r.OK {
		_, err := fmt.Fprintf(out, "BAD: %s\n", r.Error)
		return err
	}
	_, err := fmt.Fprintf(out, "good: entry %d of %s, one of %d that %s vouches for\nsigned by %s\n%s\n",
		r.Seq, r.Log, r.Size, r.Deployment, strings.Join(r.Keys, ", "), r.Entry)
	return err
}
