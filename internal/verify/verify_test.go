package verify_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/auditor"
	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/process"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/verify"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const theLog = "agent.events/0"

// rig is a deployment whose tables can be broken and mended.
type rig struct {
	up      *uptest.Up
	systems *process.Systems
	entries uint64 // of theLog
}

// newRig is newRigOf with a few hundred events.
func newRig(t *testing.T, args ...string) *rig {
	t.Helper()
	return newRigOf(t, []int{300}, args...)
}

// newRigOf runs `up`, lets it seal events into one log, some at a time, with a checkpoint after each, and keeps a copy of the table.
func newRigOf(t *testing.T, events []int, args ...string) *rig {
	t.Helper()
	u := uptest.Start(t, "", append([]string{"--partitions", "1", "--set", "exporter.heartbeat_every=1h", "--set", "exporter.recheck_every=720h", "--quiet"}, args...)...)
	emit := func(from, to int) {
		t.Helper()
		var lines strings.Builder
		for i := from; i < to; i++ {
			fmt.Fprintf(&lines, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"2026-11-20T21:14:05Z","type":"tool.call","action":"search",`+
				`"outcome":"success","tenant":"acme","user_id":"u%d","usage":{"input_tokens":%d},"content":{"input":"text %d"}}`+"\n", i, i%7, i, i)
		}
		u.Good(t, lines.String(), "emit")
	}

	cfg, err := config.Load(config.Sources{File: filepath.Join(u.Dir, process.ConfigFile)})
	if err != nil {
		t.Fatal(err)
	}
	systems, err := process.Open(t.Context(), cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := systems.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{up: u, systems: systems, entries: 1}
	for _, n := range events {
		emit(int(r.entries)-1, int(r.entries)-1+n)
		r.entries += uint64(n)
		testkit.Eventually(t, time.Minute, func() bool {
			checkpoint, _, err := systems.Vault.Checkpoint(t.Context(), theLog)
			return err == nil && checkpoint.Size == r.entries
		}, "the log has a checkpoint of all entries")
	}
	r.exec(t, "CREATE TABLE audit.kept AS audit.events")
	r.exec(t, "INSERT INTO audit.kept SELECT * FROM audit.events")
	return r
}

// exec runs a statement as somebody who owns the database.
func (r *rig) exec(t *testing.T, sql string) {
	t.Helper()
	e := r.up.Endpoints(t)
	request, err := http.NewRequest(http.MethodPost, e.ClickHouse+"/?mutations_sync=1&insert_deduplicate=0", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(e.ClickHouseUser, e.ClickHousePassword)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v: %s", sql, response.Status, err, answer)
	}
}

func (r *rig) mend(t *testing.T) {
	t.Helper()
	r.exec(t, "TRUNCATE TABLE audit.events")
	r.exec(t, "INSERT INTO audit.events SELECT * FROM audit.kept")
}

func (r *rig) verify(t *testing.T, o verify.Options) verify.Report {
	t.Helper()
	report, err := verify.Run(t.Context(), verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// Every way to falsify a table is found, and the first bad place named.
func TestFalsifications(t *testing.T) {
	r := newRigOf(t, []int{4000, 4000, 2500})
	var progress atomic.Uint64
	good := r.verify(t, verify.Options{Progress: func(n uint64) { progress.Add(n) }})
	if !good.OK || len(good.Logs) != 2 || good.Logs[0].Log != theLog || good.Logs[0].Size != r.entries || len(good.Logs[0].Head) != 64 {
		t.Fatalf("before anything was changed: %+v", good)
	}
	if progress.Load() != good.Entries {
		t.Errorf("progress says %d entries, the report %d", progress.Load(), good.Entries)
	}

	// The leaf hash is computed in SQL, as whoever forges an entry would.
	const forge = "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"success\"', '\"failure\"'), " +
		"leaf_hash = SHA256(concat(unhex('00'), replaceOne(entry, '\"success\"', '\"failure\"'))) WHERE log = '" + theLog + "' AND seq = "
	const where = " WHERE log = '" + theLog + "' AND seq "
	last := r.entries - 1
	f := func(name string, deep bool, seq uint64, reason string, statements ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			defer r.mend(t)
			for _, sql := range statements {
				r.exec(t, sql)
			}
			report := r.verify(t, verify.Options{Log: theLog, Deep: deep})
			bad := report.Logs[0].FirstBad
			if report.OK || bad == nil {
				t.Fatal("not found")
			}
			if bad.Seq != seq || !strings.Contains(bad.Reason, reason) {
				t.Errorf("seq %d, %q; want seq %d and %q", bad.Seq, bad.Reason, seq, reason)
			}
			if strings.Contains(bad.Reason, "text ") || strings.Contains(bad.Reason, "acme") {
				t.Errorf("%q quotes an entry", bad.Reason)
			}
		})
	}
	f("entry changed", false, 7, "leaf hash", "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"success\"', '\"failure\"')"+where+"= 7")
	f("leaf hash changed", false, 7, "leaf hash", "ALTER TABLE audit.events UPDATE leaf_hash = SHA256('x')"+where+"= 7")
	f("entry and leaf hash changed", false, 8, "prev", forge+"7")
	f("last entry and its leaf hash changed", false, last, "rewritten", forge+fmt.Sprint(last))
	f("entry removed", false, 7, "seq 7 expected, 8 found", "ALTER TABLE audit.events DELETE"+where+"= 7")
	f("first entry removed", false, 0, "seq 0 expected", "ALTER TABLE audit.events DELETE"+where+"= 0")
	f("truncated", false, last-9, "truncated", "ALTER TABLE audit.events DELETE"+where+fmt.Sprintf(">= %d", last-9))
	f("emptied", false, 0, "truncated", "ALTER TABLE audit.events DELETE WHERE log = '"+theLog+"'")
	f("doubled", false, 7, "double", "INSERT INTO audit.events SELECT * FROM audit.kept"+where+"= 7")
	f("doubled with another entry", false, 7, "double", "INSERT INTO audit.events SELECT * REPLACE (replaceOne(entry, 'tool.call', 'tool.null') AS entry, "+
		"SHA256(concat(unhex('00'), replaceOne(entry, 'tool.call', 'tool.null'))) AS leaf_hash) FROM audit.kept"+where+"= 7")
	f("two swapped", false, 7, "seq", "ALTER TABLE audit.events DELETE"+where+"IN (7, 8)",
		"INSERT INTO audit.events SELECT * REPLACE (if(seq = 7, 8, 7)::UInt64 AS seq) FROM audit.kept"+where+"IN (7, 8)")
	f("appended out of nothing", false, r.entries, fmt.Sprintf("seq %d expected, the entry itself says 7", r.entries), "INSERT INTO audit.events SELECT * REPLACE ("+fmt.Sprint(r.entries)+"::UInt64 AS seq) FROM (SELECT * FROM audit.kept"+where+"= 7)")
	f("entry that is none", false, 7, "leaf hash", "ALTER TABLE audit.events UPDATE entry = 'x'"+where+"= 7")

	f("column changed", true, 7, "column input_tokens", "ALTER TABLE audit.events UPDATE input_tokens = 1000000"+where+"= 7")
	f("other column changed", true, 7, "column tenant", "ALTER TABLE audit.events UPDATE tenant = 'evil'"+where+"= 7")
	f("ciphertext changed", true, 7, "column content", "ALTER TABLE audit.events UPDATE content = concat(content, 'x')"+where+"= 7")
	f("ciphertext removed", true, 7, "column content", "ALTER TABLE audit.events UPDATE content = ''"+where+"= 7")

	t.Run("columns are checked with --deep only", func(t *testing.T) {
		defer r.mend(t)
		r.exec(t, "ALTER TABLE audit.events UPDATE input_tokens = 1000000"+where+"= 7")
		if report := r.verify(t, verify.Options{}); !report.OK {
			t.Errorf("got %+v", report)
		}
	})
	t.Run("the command says no", func(t *testing.T) {
		defer r.mend(t)
		r.exec(t, forge+"7")
		result := r.up.Run(t, "", "verify")
		if result.Code != 1 || !strings.Contains(result.Stdout, "BAD at seq 8") {
			t.Errorf("exit code %d, %q, %q", result.Code, result.Stdout, result.Stderr)
		}
	})
	t.Run("an unknown log is an error", func(t *testing.T) {
		_, err := verify.Run(t.Context(), verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, verify.Options{Log: "agent.events/9"})
		if err == nil || !strings.Contains(err.Error(), "agent.events/9") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an interrupted run is an error", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := verify.Run(ctx, verify.Deps{Store: r.systems.Store, Vault: r.systems.Vault}, verify.Options{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("system records must be signed by a known author", func(t *testing.T) {
		defer r.mend(t)
		r.exec(t, "ALTER TABLE audit.events UPDATE entry = replaceOne(entry, '\"author\":\"exporter\"', '\"author\":\"impostor\"'), "+
			"leaf_hash = SHA256(concat(unhex('00'), replaceOne(entry, '\"author\":\"exporter\"', '\"author\":\"impostor\"'))) WHERE log = 'audit.system/0' AND seq = 1")
		report := r.verify(t, verify.Options{Log: "audit.system/0"})
		if report.OK || report.Logs[0].FirstBad.Seq != 1 {
			t.Errorf("got %+v", report.Logs[0])
		}
	})
}

// A reopened log's successor is followed, and both are held against each other.
func TestReopenedLog(t *testing.T) {
	r := newRig(t)
	out := r.up.Good(t, "", "log", "reopen", "--log", theLog, "--reason", "test of reopening")
	if !strings.Contains(out, theLog+".1 goes on at offset 300") {
		t.Errorf("log reopen: %q", out)
	}
	again := r.up.Run(t, "", "log", "reopen", "--log", theLog, "--reason", "again")
	if again.Code != 2 || !strings.Contains(again.Stderr, "reopened already") {
		t.Errorf("reopened twice: exit code %d, %q", again.Code, again.Stderr)
	}
	r.up.Good(t, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-000000009999","time":"2026-11-20T21:14:05Z","type":"tool.call",`+
		`"action":"search","outcome":"success","tenant":"acme","user_id":"u1"}`, "emit")
	testkit.Eventually(t, time.Minute, func() bool {
		report := r.verify(t, verify.Options{})
		return report.OK && len(report.Logs) == 3 && report.Logs[0].Size == r.entries+1 && report.Logs[1].Size == 2
	}, "the successor holds the next event")
	list := r.up.Good(t, "", "log", "list")
	if !strings.Contains(list, theLog+".1") || !strings.Contains(list, "after "+theLog+" (test of reopening)") {
		t.Errorf("log list: %s", list)
	}

	// Without its close entry the old log contradicts what its successor says.
	r.exec(t, fmt.Sprintf("ALTER TABLE audit.events DELETE WHERE log = '%s' AND seq = %d", theLog, r.entries))
	report := r.verify(t, verify.Options{Log: theLog})
	if report.OK || report.Logs[0].FirstBad.Seq != r.entries || !strings.Contains(report.Logs[0].FirstBad.Reason, "truncated") {
		t.Errorf("got %+v", report.Logs[0].FirstBad)
	}
}

// The vault of another deployment is no witness for these logs.
func TestOtherVault(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	cfg, err := config.Load(config.Sources{
		File: filepath.Join(r.up.Dir, process.ConfigFile),
		Set:  []string{"deployment=other", "vault.path=" + filepath.Join(dir, "vault.db"), "keys.source=file:" + filepath.Join(dir, "keyring")},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.up.Dir, "secrets", "keyring"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "keyring"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := process.OpenVault(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	report, err := verify.Run(t.Context(), verify.Deps{Store: r.systems.Store, Vault: other}, verify.Options{Log: theLog})
	if err != nil || report.OK || !strings.Contains(report.Logs[0].FirstBad.Reason, "another deployment") {
		t.Errorf("got %+v, %v", report, err)
	}
}

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
	bad("signed by nobody known", r.verify(t, verify.Options{Log: theLog, Keys: note.VerifierList(other)}), r.entries-1, "not signed by a known key")

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
	bad("no note", verifyWith(), r.entries-1, "the vault's checkpoint is none")
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

// Tiles are what proofs are made of: each is held against the entries.
func TestTiles(t *testing.T) {
	r := newRig(t)
	for name, sql := range map[string]string{
		"changed": "ALTER TABLE audit.tiles UPDATE root = reverse(root) WHERE log = '" + theLog + "'",
		"removed": "ALTER TABLE audit.tiles DELETE WHERE log = '" + theLog + "'",
		"doubled": "INSERT INTO audit.tiles SELECT log, level, tile, reverse(hashes), root FROM audit.tiles WHERE log = '" + theLog + "'",
	} {
		r.exec(t, "CREATE TABLE audit.kept_tiles AS audit.tiles")
		r.exec(t, "INSERT INTO audit.kept_tiles SELECT * FROM audit.tiles")
		r.exec(t, sql)
		report := r.verify(t, verify.Options{Log: theLog})
		if b := report.Logs[0].FirstBad; b == nil || b.Seq != 0 || !strings.Contains(b.Reason, "tile 0 of level 0") {
			t.Errorf("%s: %+v", name, b)
		}
		r.exec(t, "TRUNCATE TABLE audit.tiles")
		r.exec(t, "INSERT INTO audit.tiles SELECT * FROM audit.kept_tiles")
		r.exec(t, "DROP TABLE audit.kept_tiles SYNC")
		if report := r.verify(t, verify.Options{Log: theLog}); !report.OK {
			t.Errorf("%s, mended: %+v", name, report)
		}
	}
}

func newKey(t *testing.T, name string) (note.Signer, note.Verifier) {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, mustVerifier(t, public)
}

func mustVerifier(t *testing.T, vkey string) note.Verifier {
	t.Helper()
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return verifier
}

// A signed record that was captured and is produced again is noted, with the place where it stood first. Records that differ are not, however alike they are.
func TestReplayedSystemRecord(t *testing.T) {
	const log = "audit.system/0"
	r := newRig(t, "--set", "exporter.heartbeat_every=1s")
	ctx := t.Context()
	size := func() uint64 {
		t.Helper()
		return r.verify(t, verify.Options{Log: log}).Logs[0].Size
	}
	testkit.Eventually(t, time.Minute, func() bool { return size() > 3 }, "some heartbeats are sealed")
	if report := r.verify(t, verify.Options{}); !report.OK || len(report.Logs[1].Notes) > 0 {
		t.Fatalf("before anything was replayed: %+v", report)
	}

	captured, found, err := r.systems.Kafka.RecordAt(ctx, "audit.system", 0, 1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	copies := []kafkaio.Message{{Value: captured.Value, Headers: captured.Headers}, {Key: []byte("k"), Value: captured.Value, Headers: captured.Headers}}
	if err := r.systems.Kafka.ProduceTo(ctx, "audit.system", 0, copies); err != nil {
		t.Fatal(err)
	}
	var report verify.Report
	testkit.Eventually(t, time.Minute, func() bool {
		report = r.verify(t, verify.Options{Log: log})
		return len(report.Logs[0].Notes) > 0
	}, "a note")
	after := report.Logs[0].Size
	testkit.Eventually(t, time.Minute, func() bool { return size() > after+1 }, "more heartbeats behind them")
	report = r.verify(t, verify.Options{Log: log})
	notes := report.Logs[0].Notes
	if !report.OK || report.Logs[0].FirstBad != nil || len(notes) != len(copies) {
		t.Fatalf("the log is good, with %d notes: %+v", len(copies), report)
	}
	for i, n := range notes {
		if n.Seq != notes[0].Seq+uint64(i) || n.Seq <= 3 || !strings.HasPrefix(n.Text, "the signed record of seq 2 again") {
			t.Errorf("note %+v", n)
		}
	}
	if out := r.up.Good(t, "", "verify", "--log", log); !strings.Contains(out, fmt.Sprintf("note at seq %d: the signed record of seq 2 again", notes[0].Seq)) {
		t.Errorf("verify prints %s", out)
	}
	if out := r.up.Good(t, "", "verify", "--json"); !strings.Contains(out, `"notes":[{"seq":`) || !strings.HasPrefix(out, `{"ok":true`) {
		t.Errorf("verify --json prints %s", out)
	}
}

// A log is exported, checked on another machine with the key alone, and whatever is changed in its files is found.
func TestExport(t *testing.T) {
	r := newRig(t)
	key := r.up.Endpoints(t).VerifierKeys[0]
	out := filepath.Join(t.TempDir(), "export")
	r.up.Good(t, "", "log", "export", "--out", out)
	offline := func(args ...string) (int, string, string) {
		t.Helper()
		var stdout, stderr strings.Builder
		return auditor.Main(t.Context(), append([]string{"--key", key}, args...), &stdout, &stderr), stdout.String(), stderr.String()
	}
	if code, stdout, stderr := offline("--folder", out); code != 0 || !strings.Contains(stdout, "in 2 logs: good") {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	good := r.up.Good(t, "", "verify", "--folder", out, "--key", key, "--json")
	if !strings.Contains(good, `"ok":true`) || !strings.Contains(good, fmt.Sprintf(`"size":%d`, r.entries)) {
		t.Errorf("verify --folder: %s", good)
	}
	// The same over HTTP, from the exporter.
	if code, stdout, stderr := offline("--url", r.up.Endpoints(t).HTTP+"/log/", "--log", theLog); code != 0 || !strings.Contains(stdout, "good") {
		t.Errorf("over HTTP: exit code %d, %s%s", code, stdout, stderr)
	}
	bundle := filepath.Join(out, theLog, "tile", "entries", "001.p", fmt.Sprint(r.entries-256))
	content, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle, []byte(strings.Replace(string(content), `"success"`, `"failure"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := offline("--folder", out); code != 1 || !strings.Contains(stdout, "BAD at seq 257: prev does not match") {
		t.Errorf("a changed file: exit code %d, %s", code, stdout)
	}
	for _, args := range [][]string{{}, {"--folder", out, "--url", "http://127.0.0.1:1/"}, {"--folder", out + "x"}, {"--folder", t.TempDir()}, {"--url", "x", "--log", theLog}, {"--url", "http://127.0.0.1:1/"}} {
		if code, _, stderr := offline(args...); code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
	if result := r.up.Run(t, "", "log", "export", "--out", out); result.Code != 2 {
		t.Errorf("exported into the same folder: %+v", result)
	}

	// Of a log that is not what is signed no export is finished.
	r.exec(t, "ALTER TABLE audit.events DELETE WHERE log = '"+theLog+"' AND seq = 7")
	second := filepath.Join(t.TempDir(), "second")
	if result := r.up.Run(t, "", "log", "export", "--out", second, "--log", theLog); result.Code != 2 || !strings.Contains(result.Stderr, "at seq 7") {
		t.Errorf("export of a broken log: %+v", result)
	}
	if _, err := os.Stat(filepath.Join(second, theLog, "checkpoint")); err == nil {
		t.Error("an unfinished export has a checkpoint")
	}
}

// Somebody rewrites everything from one entry on, with right hashes and links: nothing within the log shows it.
func TestRewrittenFromSomeEntryOn(t *testing.T) {
	const from = 100
	r := newRig(t)
	kept := chain.SplitCheckpoints([]byte(r.up.Good(t, "", "checkpoint", "--log", theLog)))
	known, err := logkeys.Verifiers(r.up.Endpoints(t).VerifierKeys)
	if err != nil {
		t.Fatal(err)
	}
	forged, tree := r.rewrite(t, from)
	last := r.entries - 1
	report := r.verify(t, verify.Options{Log: theLog, Keys: known})
	if b := report.Logs[0].FirstBad; b == nil || !strings.Contains(b.Reason, "tile 0 of level 0 is not made of the entries") {
		t.Errorf("the tiles tell: %+v", b)
	}
	// They make the tiles fit as well.
	r.exec(t, "TRUNCATE TABLE audit.tiles")
	if err := r.systems.Store.StageTiles(t.Context(), theLog, tree.tiles); err != nil {
		t.Fatal(err)
	}
	report = r.verify(t, verify.Options{Log: theLog, Keys: known})
	if b := report.Logs[0].FirstBad; b == nil || b.Seq != last || !strings.Contains(b.Reason, "the vault's checkpoint has another entry here") {
		t.Errorf("the vault tells: %+v", b)
	}
	// And the vault, and they have the signing key: then only who has kept a checkpoint knows.
	stored, _, err := r.systems.Vault.Checkpoint(t.Context(), theLog)
	if err != nil {
		t.Fatal(err)
	}
	lie := chain.Checkpoint{Deployment: "local", Log: theLog, Size: r.entries, Root: tree.Root()}
	folder, err := logkeys.Load(filepath.Join(r.up.Dir, "secrets", "checkpoint-keys"), "local")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := lie.Sign(folder.Signers()...)
	if err != nil {
		t.Fatal(err)
	}
	r.overwriteCheckpoint(t, stored, forged, tree.Root(), string(signed))
	if report = r.verify(t, verify.Options{Log: theLog, Keys: known}); !report.OK {
		t.Errorf("a perfect forgery: %+v", report.Logs[0].FirstBad)
	}
	report = r.verify(t, verify.Options{Log: theLog, Keys: known, Pinned: kept})
	if b := report.Logs[0].FirstBad; b == nil || b.Seq != last || !strings.Contains(b.Reason, "a checkpoint that was kept has another root") {
		t.Errorf("who has kept a checkpoint: %+v", b)
	}
}

// forgedTree is a tree with the tiles that it completes.
type forgedTree struct {
	*chain.Tree
	tiles []store.StoredTile
}

// rewrite changes the entry at seq from and whatever follows from it. It returns the last leaf hash and the tree.
func (r *rig) rewrite(t *testing.T, from uint64) (chain.Hash, *forgedTree) {
	t.Helper()
	var prev chain.Hash
	tree := &forgedTree{Tree: chain.NewTree()}
	var rows strings.Builder
	err := r.systems.Store.Scan(t.Context(), theLog, 0, func(seq uint64, entry []byte, leaf chain.Hash) error {
		if seq >= from {
			var h chain.Header
			body, err := chain.ParseHeader(entry, &h)
			if err != nil {
				return err
			}
			changed := string(body)
			if seq == from {
				changed = strings.Replace(changed, `"success"`, `"failure"`, 1)
			} else {
				h.Prev = prev
			}
			forged := chain.AppendEntry(nil, &h, []byte(changed))
			leaf = chain.LeafHash(forged)
			fmt.Fprintf(&rows, "%d\t%x\t%x\n", seq, forged, leaf[:])
		}
		prev = leaf
		return tree.Append(leaf, func(full chain.Tile) error {
			tree.tiles = append(tree.tiles, store.StoredTile{Level: full.Level, Index: full.Index, Hashes: slices.Clone(full.Hashes), Root: full.Root})
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, "CREATE TABLE audit.forged (seq UInt64, entry String, leaf String) ENGINE = Memory")
	r.exec(t, "INSERT INTO audit.forged FORMAT TabSeparated\n"+rows.String())
	r.exec(t, fmt.Sprintf("ALTER TABLE audit.events DELETE WHERE log = '%s' AND seq >= %d", theLog, from))
	r.exec(t, "INSERT INTO audit.events SELECT e.* REPLACE (unhex(f.entry) AS entry, toFixedString(unhex(f.leaf), 32) AS leaf_hash) "+
		"FROM audit.kept AS e INNER JOIN audit.forged AS f ON e.seq = f.seq WHERE e.log = '"+theLog+"'")
	return prev, tree
}

// overwriteCheckpoint writes into the vault's file, as whoever has it could.
func (r *rig) overwriteCheckpoint(t *testing.T, old vault.Checkpoint, head, root chain.Hash, signed string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(r.up.Dir, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE checkpoints SET head = ?, root = ?, note = ? WHERE log = ? AND size = ?", head[:], root[:], signed, old.Log, old.Size); err != nil {
		t.Fatal(err)
	}
}
