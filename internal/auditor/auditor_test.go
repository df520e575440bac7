package auditor

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// What auditors build and read is small: agentaudit-verify is linked to no database, no Kafka, no vault and no configuration.
func TestImports(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/agentaudit-verify")
	command.Dir = testkit.Root(t)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		// internal/durable writes keys; logkeys needs it, and it imports nothing else of ours.
		"cmd/agentaudit-verify": true, "internal/auditor": true, "internal/offline": true, "internal/logkeys": true, "internal/durable": true,
		"internal/progress": true, "internal/report": true, "pkg/chain": true,
	}
	others := []string{"golang.org/x/", "vendor/golang.org/x/", "filippo.io/torchwood", "github.com/alecthomas/kong"}
	checked := 0
next:
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		checked++
		if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") && first != "vendor" {
			continue // of Go itself
		}
		if ours, ok := strings.CutPrefix(path, "github.com/agentaudit/agentaudit/"); ok && allowed[ours] {
			continue
		}
		for _, prefix := range others {
			if strings.HasPrefix(path, prefix) {
				continue next
			}
		}
		t.Errorf("agentaudit-verify is linked to %s", path)
	}
	if checked < 50 {
		t.Errorf("only %d packages listed", checked)
	}
}

// folder is an export with one log of one entry, made with a key that is new.
func folder(t *testing.T) (dir, key string, signer note.Signer) {
	t.Helper()
	private, key, err := note.GenerateKey(rand.Reader, "acme")
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = note.NewSigner(private); err != nil {
		t.Fatal(err)
	}
	h := chain.Header{Log: "agent.events/0", Source: chain.Source{Offset: chain.NoOffset}, Kind: chain.KindControl}
	entry := chain.AppendEntry(nil, &h, chain.AppendControl(nil, &chain.Control{Op: chain.OpOpen, NextEpoch: 202611, Deployment: "acme", Topic: "agent.events"}))
	leaf := chain.LeafHash(entry)
	bundle, err := chain.AppendBundled(nil, entry)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for path, content := range map[string][]byte{"tile/0/000.p/1": leaf[:], "tile/entries/000.p/1": bundle, "checkpoint": checkpoint(t, signer, "agent.events/0", leaf)} {
		path = filepath.Join(dir, "agent.events", "0", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, key, signer
}

func checkpoint(t *testing.T, signer note.Signer, log string, root chain.Hash) []byte {
	t.Helper()
	signed, err := (&chain.Checkpoint{Deployment: "acme", Log: log, Size: 1, Root: root}).Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestKeptCheckpoints(t *testing.T) {
	dir, key, signer := folder(t)
	_, _, stranger := folder(t)
	f := func(kept []byte, code int, says string, args ...string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "kept")
		if err := os.WriteFile(path, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		got := Main(t.Context(), append([]string{"--folder", dir, "--key", key, "--checkpoint", path}, args...), &stdout, &stderr)
		if got != code || !strings.Contains(stdout.String()+stderr.String(), says) {
			t.Errorf("exit code %d, %q, %q; want %d and %q", got, stdout.String(), stderr.String(), code, says)
		}
	}
	own, err := os.ReadFile(filepath.Join(dir, "agent.events", "0", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	f(own, exitGood, "1 entry in 1 log: good")
	f(checkpoint(t, signer, "agent.events/0", chain.Hash{7}), exitNo, "another root")
	f(checkpoint(t, stranger, "agent.events/0", chain.Hash{7}), exitFailed, "checkpoint 1 of those given")
	f([]byte("\n"), exitFailed, "kept is not what 'agentaudit checkpoint' prints, at checkpoint 1 of it")
	// An empty file was held against nothing, and the answer was "good".
	f(nil, exitFailed, "has no checkpoint in it")
	// A log that was taken out of the folder as a whole went unnoticed.
	other := checkpoint(t, signer, "audit.system/0", chain.Hash{7})
	f(append(append(own, '\n'), other...), exitNo, "audit.system/0                      0 entries  BAD at seq 0: the log is missing, but a checkpoint that was kept has 1 entries")
	f(other, exitNo, `{"log":"audit.system/0","size":0,"root":"","head":"","first_bad":{"seq":0,"reason":"the log is missing`, "--json")
	f(other, exitGood, "1 entry in 1 log: good", "--log", "agent.events/0")

	first, second := newWitness(t, "witness.example/1"), newWitness(t, "witness.example/2")
	one, two := first.Verifier().String(), second.Verifier().String()
	cosigned := cosign(t, own, first)
	f(cosigned, exitGood, "1 entry in 1 log: good", "--witness", one)
	f(cosign(t, cosigned, second), exitGood, "1 entry in 1 log: good", "--witness", one, "--witness", two)
	f(cosigned, exitFailed, "checkpoint 1 of ", "--witness", one, "--witness", two)
	f(append(append(cosigned, '\n'), own...), exitFailed, "witness witness.example/1 has not signed it", "--witness", one)
	f(own, exitFailed, "key 1 is not the public key of a witness", "--witness", key)
	var stdout, stderr strings.Builder
	if code := Main(t.Context(), []string{"--folder", dir, "--key", key, "--witness", one}, &stdout, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "--checkpoint") {
		t.Errorf("a witness of nothing: exit code %d, %s", code, stderr.String())
	}
}

func newWitness(t *testing.T, name string) *torchwood.CosignatureSigner {
	t.Helper()
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := torchwood.NewCosignatureSigner(name, secret)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// cosign puts a witness's signature below a checkpoint.
func cosign(t *testing.T, signed []byte, witness *torchwood.CosignatureSigner) []byte {
	t.Helper()
	text, _, _ := strings.Cut(string(signed), "\n\n")
	alone, err := note.Sign(&note.Note{Text: text + "\n"}, witness)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(alone), "\n\n")
	return append(bytes.Clone(signed), line...)
}
