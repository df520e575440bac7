package verify_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/verify"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// What is signed is held against the entries, the vault's list against what was kept elsewhere.
func TestSignedCheckpoints(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	kept := r.up.Good(t, "", "checkpoint", "--log", theLog)
	file := filepath.Join(t.TempDir(), "kept")
	if err := os.WriteFile(file, []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	key := r.up.Endpoints(t).VerifierKeys[0]
	known, err := logkeys.Verifiers([]string{key})
	if err != nil {
		t.Fatal(err)
	}
	point, _, err := chain.OpenCheckpoint(chain.SplitCheckpoints([]byte(kept))[0], known)
	if err != nil {
		t.Fatal(err)
	}
	good := r.up.Good(t, "", "verify", "--deep", "--checkpoint", file, "--key", key, "--json")
	if !strings.Contains(good, `"root":"`+point.Root.String()+`"`) {
		t.Errorf("root %v is not in %s", point.Root, good)
	}
	verifyWith := func(pinned ...[]byte) verify.Report {
		t.Helper()
		return r.verify(t, verify.Options{Log: theLog, Keys: known, Pinned: pinned})
	}
	bad := func(name string, report verify.Report, seq uint64, reason string) {
		t.Helper()
		if b := report.Logs[0].FirstBad; report.OK || b == nil || b.Seq != seq || !strings.Contains(b.Reason, reason) {
			t.Errorf("%s: %+v", name, b)
		}
	}

	// Somebody who owns ClickHouse, the vault and the key tells another history, correct in itself: only what was kept elsewhere finds it.
	signer, other := newKey(t, "local")
	lie := chain.Checkpoint{Deployment: "local", Log: theLog, Size: r.entries - 1, Root: chain.Hash{7}}
	signed, err := lie.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.Run(ctx, verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, verify.Options{Keys: known, Pinned: [][]byte{signed}}); !errors.Is(err, chain.ErrNotSigned) {
		t.Errorf("a kept checkpoint with a stranger's signature: %v", err)
	}
	bad("another history", r.verify(t, verify.Options{Log: theLog, Keys: note.VerifierList(other, mustVerifier(t, key)), Pinned: [][]byte{signed}}),
		r.entries-2, "rewritten: a checkpoint that was kept has another root")
	bad("signed by nobody known", r.verify(t, verify.Options{Log: theLog, Keys: note.VerifierList(other)}), r.entries-1, "no signature of a known key")

	stored, _, err := r.systems.Vault.Checkpoint(ctx, theLog)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(n string) {
		t.Helper()
		if err := r.systems.Vault.ReplaceNote(ctx, stored, n); err != nil {
			t.Fatal(err)
		}
	}
	older := chain.Checkpoint{Deployment: "local", Log: theLog, Size: 3, Root: chain.Hash{1}}
	signedOlder, err := older.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	replace(string(signedOlder))
	bad("a note of another size", r.verify(t, verify.Options{Log: theLog, Keys: note.VerifierList(other)}), r.entries-1, "something else than what is signed")
	replace("nonsense")
	bad("no note", verifyWith(), r.entries-1, "the vault's checkpoint is not good")
	replace(stored.Note)
	if report := verifyWith(chain.SplitCheckpoints([]byte(kept))...); !report.OK {
		t.Errorf("mended: %+v", report)
	}
	result := r.up.Run(t, "", "verify", "--checkpoint", file, "--key", "x")
	if result.Code != 2 {
		t.Errorf("a key that is none: exit code %d, %s", result.Code, result.Stderr)
	}
}

// Proofs made on one machine are checked on another, with the public key alone.
func TestProofs(t *testing.T) {
	r := newRig(t)
	key := r.up.Endpoints(t).VerifierKeys[0]
	file := filepath.Join(t.TempDir(), "proof")
	r.up.Good(t, "", "prove", "01920000-0000-7000-8000-000000000123", "--out", file)
	out := r.up.Good(t, "", "verify-proof", file, "--key", key)
	if !strings.HasPrefix(out, "good: entry ") || !strings.Contains(out, "01920000-0000-7000-8000-000000000123") {
		t.Errorf("verify-proof: %s", out)
	}
	stdout := r.up.Good(t, "", "prove", "--log", theLog, "--seq", "0")
	if result := r.up.Run(t, stdout, "verify-proof", "-", "--key", key, "--json"); result.Code != 0 || !strings.Contains(result.Stdout, `"seq":0`) {
		t.Errorf("from standard input: %+v", result)
	}
	if result := r.up.Run(t, strings.Replace(stdout, "index 0", "index 1", 1), "verify-proof", "-", "--key", key); result.Code != 1 || !strings.HasPrefix(result.Stdout, "BAD: ") {
		t.Errorf("changed: %+v", result)
	}
	// An event id that was used twice: both are proved.
	r.up.Good(t, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-000000000123","time":"2026-11-20T21:14:05Z","type":"tool.call",`+
		`"action":"again","outcome":"success","tenant":"acme","user_id":"u1"}`, "emit")
	testkit.Eventually(t, time.Minute, func() bool {
		both := r.up.Run(t, "", "prove", "01920000-0000-7000-8000-000000000123")
		checked := r.up.Run(t, both.Stdout, "verify-proof", "-", "--key", key)
		return both.Code == 0 && checked.Code == 0 && strings.Count(checked.Stdout, "good: entry ") == 2
	}, "both entries are proved")
	for _, args := range [][]string{
		{"prove"}, {"prove", "x"}, {"prove", "01920000-0000-7000-8000-00000000ffff"}, {"prove", "--log", theLog}, {"prove", "--log", theLog, "--seq", "999999"},
		{"prove", "01920000-0000-7000-8000-000000000123", "--log", theLog, "--seq", "1"}, {"verify-proof", file}, {"verify-proof", file + "x", "--key", key},
	} {
		if result := r.up.Run(t, "", args...); result.Code != 2 || strings.Count(result.Stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q", args, result.Code, result.Stderr)
		}
	}
}
