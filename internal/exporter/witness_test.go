package exporter

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/witness"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const witnessedLog = "agent.events/0"

var witnessedOrigin = chain.Origin("test", witnessedLog)

// newWitness starts a litewitness that knows witnessedLog, and has the exporter ask it.
func (r *rig) newWitness(name string) *testkit.Witness {
	r.t.Helper()
	w := testkit.StartWitness(r.t, name)
	folder, err := r.loadKeys()
	if err != nil {
		r.t.Fatal(err)
	}
	w.AddLog(witnessedOrigin, folder.VKeys()[0])
	r.cfg.Witnesses = append(r.cfg.Witnesses, w.URL+" "+w.VKey)
	r.cfg.RepublishEvery, r.cfg.PublicTiles = time.Second, true
	return w
}

// asking asks the witness as anybody could.
func asking(t *testing.T, w *testkit.Witness) *witness.Client {
	t.Helper()
	c, err := witness.New(w.URL, w.VKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// awaitWitnessed waits until all of witnesses have signed the checkpoint of l, as it is served.
func (r *rig) awaitWitnessed(p *process, l *testLog, all ...*testkit.Witness) []byte {
	r.t.Helper()
	var vkeys []string
	for _, w := range all {
		vkeys = append(vkeys, w.VKey)
	}
	witnesses, err := chain.ParseWitnesses(vkeys)
	if err != nil {
		r.t.Fatal(err)
	}
	var body []byte
	testkit.Eventually(r.t, soon, func() bool {
		answer := get(r.t, p.Handler(), logPrefix+l.head.Log+"/witnessed")
		body = answer.Body.Bytes()
		point, _, err := chain.OpenCheckpoint(body, r.known())
		return answer.Code == http.StatusOK && err == nil && point.Size == l.head.Size && point.Root == r.treeOf(l.head.Log, l.head.Size).Root() &&
			witnesses.Check(body) == nil && answer.Header().Get("Cache-Control") == "no-cache"
	}, "witnesses have signed the latest checkpoint")
	return body
}

// sign makes a checkpoint of witnessedLog with the log's own keys, whatever it says.
func (r *rig) sign(size uint64, root chain.Hash) []byte {
	r.t.Helper()
	folder, err := r.loadKeys()
	if err != nil {
		r.t.Fatal(err)
	}
	signed, err := (&chain.Checkpoint{Deployment: "test", Log: witnessedLog, Size: size, Root: root}).Sign(folder.Signers()...)
	if err != nil {
		r.t.Fatal(err)
	}
	return signed
}

func (p *process) asked(t *testing.T, result string) float64 {
	t.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "agentaudit_exporter_witness_total" && m.GetLabel()[0].GetValue() == result {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no count of %s", result)
	return 0
}

// Two litewitnesses sign the same checkpoints, as the log grows, through a restart, and under another key.
func TestWitnesses(t *testing.T) {
	r := newRig(t)
	l := r.newLog(witnessedLog, 600)
	one, two := r.newWitness("witness.example/1"), r.newWitness("witness.example/2")
	p := r.start()
	r.awaitWitnessed(p, l, one, two)
	for _, n := range []int{1, 300, 20} {
		l.add(n)
		r.awaitWitnessed(p, l, one, two)
	}
	if size := one.Size(witnessedOrigin); size != l.head.Size {
		t.Errorf("the witness has %d entries of %d", size, l.head.Size)
	}
	prover := prove.Prover{Store: r.store, Vault: r.vault, Witnessed: true}
	text, err := prover.Entry(t.Context(), witnessedLog, 700)
	if err != nil {
		t.Fatal(err)
	}
	both, err := chain.ParseWitnesses([]string{one.VKey, two.VKey})
	if err != nil {
		t.Fatal(err)
	}
	if proof, err := chain.OpenProof(text, r.known()); err != nil || proof.Header.Seq != 700 || both.Check(proof.Signed) != nil {
		t.Errorf("a proof that witnesses have signed: %+v, %v", proof, err)
	}
	p.stop()
	l.add(30)
	if _, err := prover.Entry(t.Context(), witnessedLog, l.head.Size-1); !errors.Is(err, prove.ErrNotCovered) {
		t.Errorf("proved what no witness has seen: %v", err)
	}
	p = r.start()
	signed := r.awaitWitnessed(p, l, one, two)
	next := r.newKey()
	testkit.Eventually(t, soon, func() bool {
		signed = get(t, p.Handler(), logPrefix+witnessedLog+"/witnessed").Body.Bytes()
		return opens(t, string(signed), next.VKey)
	}, "what the next key has signed is signed by the witnesses")
	r.awaitWitnessed(p, l, one, two)
	if got := p.asked(t, witnessCosigned); got < 4 {
		t.Errorf("%v checkpoints were signed", got)
	}
	if bad := p.asked(t, witnessRefused) + p.asked(t, witnessInvalid) + p.asked(t, witnessContradicted); bad > 0 || len(p.alarms.list()) > 0 {
		t.Errorf("%v refused, alarms %+v", bad, p.alarms.list())
	}
	if got := get(t, p.Handler(), logPrefix+"agent.events/7/witnessed").Code; got != http.StatusNotFound {
		t.Errorf("status %d of a log that is not there", got)
	}
}

// What litewitness answers to a stale size, another history, another key and an unknown log.
func TestWitnessRefuses(t *testing.T) {
	r := newRig(t)
	l := r.newLog(witnessedLog, 300)
	w := r.newWitness("witness.example/1")
	p := r.start()
	r.awaitWitnessed(p, l, w)
	p.stop()
	c, ctx := asking(t, w), t.Context()
	stored := r.awaitSigned(l)
	var size *witness.SizeError
	if _, err := c.Add(ctx, 7, nil, []byte(stored.Note)); !errors.As(err, &size) || size.Size != stored.Size {
		t.Errorf("a stale size: %v", err)
	}
	var ahead *witness.AheadError
	if _, err := c.Add(ctx, 0, nil, r.sign(17, r.treeOf(witnessedLog, 17).Root())); !errors.As(err, &ahead) || ahead.Size != stored.Size {
		t.Errorf("an older checkpoint: %v", err)
	}
	if _, err := c.Add(ctx, stored.Size, nil, r.sign(stored.Size, chain.Hash{1})); !errors.Is(err, witness.ErrForked) {
		t.Errorf("another root of the same size: %v", err)
	}
	if _, err := c.Add(ctx, stored.Size, tlog.TreeProof{tlog.Hash{1}}, r.sign(stored.Size+1, chain.Hash{1})); !errors.Is(err, witness.ErrForked) {
		t.Errorf("a rewritten log: %v", err)
	}
	stranger := newRigKeys(t, r)
	var refused *witness.RefusedError
	if _, err := c.Add(ctx, stored.Size, nil, stranger.sign(stored.Size, stored.Root)); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("another key: %v", err)
	}
	unknown, err := (&chain.Checkpoint{Deployment: "test", Log: "agent.events/9", Size: 1}).Sign(signers(t, r)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Add(ctx, 0, nil, unknown); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("another log: %v", err)
	}
	if got := w.Size(witnessedOrigin); got != stored.Size {
		t.Errorf("the witness has %d entries", got)
	}
}

// newRigKeys is the rig with a key that nobody knows.
func newRigKeys(t *testing.T, r *rig) *rig {
	t.Helper()
	other := *r
	other.keys = filepath.Join(t.TempDir(), "keys")
	other.newKey()
	return &other
}

func signers(t *testing.T, r *rig) []note.Signer {
	t.Helper()
	folder, err := r.loadKeys()
	if err != nil {
		t.Fatal(err)
	}
	return folder.Signers()
}

// Sealing goes on without a witness that is gone, or takes connections and says nothing; afterwards the witness catches up.
func TestWitnessAway(t *testing.T) {
	r := newRig(t)
	l := r.newLog(witnessedLog, 50)
	w := r.newWitness("witness.example/1")
	w.Stop()
	p := r.start()
	r.awaitCheckpoint(l)
	w.Start()
	r.awaitWitnessed(p, l, w)
	w.Pause()
	for range 3 {
		l.add(10)
		r.awaitCheckpoint(l)
	}
	w.Resume()
	r.awaitWitnessed(p, l, w)
	w.Pause()
	p.stop()
	l.add(10)
	p = r.start()
	r.awaitCheckpoint(l) // after the time that it is given
	if p.asked(t, witnessUnreachable) == 0 {
		t.Error("nobody counted that the witness was away")
	}
	if list := p.alarms.list(); len(list) > 0 {
		t.Errorf("alarms %+v", list)
	}
}

// exporter.witness_required: after a start nothing new is signed before the witness has signed what was there.
func TestWitnessRequired(t *testing.T) {
	r := newRig(t)
	r.cfg.WitnessRequired = true
	l := r.newLog(witnessedLog, 50)
	w := r.newWitness("witness.example/1")
	w.Stop()
	p := r.start()
	testkit.Eventually(t, soon, func() bool { return p.asked(t, witnessUnreachable) >= 3 }, "the witness was asked in vain")
	if size := r.checkpointSize(witnessedLog); size != 0 {
		t.Fatalf("%d entries were signed", size)
	}
	w.Start()
	r.awaitCheckpoint(l)
	r.awaitWitnessed(p, l, w)
	w.Stop() // later it is not waited for
	l.add(10)
	r.awaitCheckpoint(l)
}

// Two exporters ask one witness about the same log, which moves all the time: none takes the other's progress for a vault that went back.
func TestTwoExportersOneWitness(t *testing.T) {
	r := newRig(t)
	l := r.newLog(witnessedLog, 1)
	w := r.newWitness("witness.example/1")
	one := r.start()
	r.author = newAuthor(t, "exporter-2")
	two := r.start()
	for range 60 {
		l.add(25)
		r.awaitCheckpoint(l)
	}
	r.awaitWitnessed(one, l, w)
	for _, p := range []*process{one, two} {
		if list := p.alarms.list(); len(list) > 0 || p.asked(t, witnessContradicted) > 0 {
			t.Errorf("alarms %+v, %v contradictions", list, p.asked(t, witnessContradicted))
		}
	}
}

// The checkpoint that is being shown is an older one by then: that the witness is ahead of it is no rollback, because the vault has the later one too.
func TestWitnessHasSeenTheLaterOne(t *testing.T) {
	r := newRig(t)
	l := r.newLog(witnessedLog, 20)
	w := r.newWitness("witness.example/1")
	p := r.start()
	older := r.awaitSigned(l)
	l.add(30)
	r.awaitWitnessed(p, l, w)
	if err := p.newWitnessed(witnessedLog).show(t.Context(), p.witnesses.list[0], older, 0); err != nil {
		t.Error(err)
	}
	r.awaitWitnessed(p, l, w)
	if got := p.asked(t, witnessContradicted); got > 0 {
		t.Errorf("%v contradictions", got)
	}
}

// A checkpoint is shown at once when it moves, and every quarter of an hour when it does not.
func TestWitnessIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Exporter{published: newPublished()}
		w := &witnessed{exporter: e, log: witnessedLog}
		shown := vault.Checkpoint{Log: witnessedLog, Size: 5, Note: "5"}
		f := func(what string, ctx context.Context, after time.Duration) {
			t.Helper()
			start := time.Now()
			w.idle(ctx, shown)
			if took := time.Since(start); took != after {
				t.Errorf("%s: %v, want %v", what, took, after)
			}
		}
		f("nothing is known", t.Context(), showAgain)
		e.published.know(shown)
		f("it does not move", t.Context(), showAgain)
		time.AfterFunc(time.Minute, func() { e.published.offer(vault.Checkpoint{Log: "agent.events/1", Size: 9, Note: "9"}) })
		time.AfterFunc(2*time.Minute, func() { e.published.offer(vault.Checkpoint{Log: witnessedLog, Size: 6, Note: "6"}) })
		f("another log moves, and then this one", t.Context(), 2*time.Minute)
		f("it has moved already", t.Context(), 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		shown.Note = "6"
		f("it is told to end", ctx, time.Second)
	})
}

// vaultCopy is a vault in files that can be copied.
type vaultCopy struct{ dir string }

func newVaultCopy(t *testing.T) *vaultCopy { return &vaultCopy{t.TempDir()} }

func (c *vaultCopy) open(t *testing.T) *vault.Vault {
	t.Helper()
	cfg := vault.KeyConfig{Source: "file:" + filepath.Join(c.dir, "keyring")}
	keys, err := vault.OpenKeyring(t.Context(), cfg)
	if errors.Is(err, os.ErrNotExist) {
		keys, err = vault.CreateKeyring(t.Context(), cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), vault.Config{Driver: vault.DriverSQLite, DSN: filepath.Join(c.dir, "vault.db"), Deployment: "test"}, keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// copy copies a vault that is closed.
func (c *vaultCopy) copy(t *testing.T) *vaultCopy {
	t.Helper()
	to := newVaultCopy(t)
	if err := os.CopyFS(to.dir, os.DirFS(c.dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"keyring", "vault.db"} {
		if err := os.Chmod(filepath.Join(to.dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// Old copies of vault and ClickHouse are restored together. They agree with each other, and entries that were made since are made anew: only the witness
// knows. Nothing new is signed.
func TestWitnessFindsRollback(t *testing.T) {
	const cut = `ALTER TABLE {events} DELETE WHERE log = '` + witnessedLog + `' AND seq >= 21 SETTINGS mutations_sync = 2`
	f := func(name string, size uint64, restore func(old *vaultCopy) *vaultCopy) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			files := newVaultCopy(t)
			r.vault = files.open(t)
			l := r.newLog(witnessedLog, 20)
			w := r.newWitness("witness.example/1")
			p := r.start()
			r.awaitWitnessed(p, l, w)
			p.stop()
			if err := r.vault.Close(); err != nil {
				t.Fatal(err)
			}
			old := files.copy(t)
			r.vault = files.open(t)
			before := l.head
			l.add(30)
			p = r.start()
			r.awaitWitnessed(p, l, w)
			p.stop()

			r.vault = restore(old).open(t)
			r.exec(cut)
			l.head = before
			l.writer.Close()
			writer, err := r.store.OpenWriter(t.Context(), witnessedLog)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(writer.Close)
			l.writer = writer
			l.add(5)
			p = r.start()
			r.awaitAlarm(p, witnessedLog, size, "witness witness.example/1 has cosigned 51 entries")
			if got := r.checkpointSize(witnessedLog); got != 21 && got != 0 {
				t.Errorf("%d entries were signed on top of the restored ones", got)
			}
			if got := p.asked(t, witnessContradicted); got != faultLooks {
				t.Errorf("asked %v times whether that is so", got)
			}
		})
	}
	f("an old vault", 21, func(old *vaultCopy) *vaultCopy { return old })
	f("an empty vault", 1, func(*vaultCopy) *vaultCopy { return newVaultCopy(t) })
}

// A witness that was shown another history, by somebody who has the key, stops the log: nobody knows which one the others were shown.
func TestWitnessHasAnotherHistory(t *testing.T) {
	f := func(name string, size, seq uint64, reason string) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.newLog(witnessedLog, 50)
			w := r.newWitness("witness.example/1")
			if _, err := asking(t, w).Add(t.Context(), 0, nil, r.sign(size, chain.Hash{1})); err != nil {
				t.Fatal(err)
			}
			r.awaitAlarm(r.start(), witnessedLog, seq, reason)
			if got := r.checkpointSize(witnessedLog); got != 0 {
				t.Errorf("%d entries were signed", got)
			}
		})
	}
	f("longer", 1000, 1, "has cosigned 1000 entries")
	f("shorter", 1, 0, "another history of the first 1 entries")
}

// While the exporter runs somebody else, who has the key, shows the witness more than there is.
func TestWitnessGetsAhead(t *testing.T) {
	r := newRig(t)
	l := r.newLog(witnessedLog, 50)
	w := r.newWitness("witness.example/1")
	p := r.start()
	r.awaitWitnessed(p, l, w)
	stored := hashesOf(r, witnessedLog)
	for i := range byte(7) {
		stored.add(t, chain.LeafHash([]byte{i}))
	}
	root, err := tlog.TreeHash(stored.leaves, stored)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := tlog.ProveTree(stored.leaves, int64(l.head.Size), stored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := asking(t, w).Add(t.Context(), l.head.Size, proof, r.sign(uint64(stored.leaves), chain.Hash(root))); err != nil {
		t.Fatal(err)
	}
	l.add(1)
	r.awaitAlarm(p, witnessedLog, l.head.Size, "has cosigned 58 entries")
}

// treeHashes are what golang.org/x/mod/sumdb/tlog stores of a tree.
type treeHashes struct {
	leaves int64
	stored []tlog.Hash
}

func hashesOf(r *rig, log string) *treeHashes {
	r.t.Helper()
	h := &treeHashes{}
	err := r.store.Scan(r.t.Context(), log, 0, func(_ uint64, _ []byte, leaf chain.Hash) error {
		h.add(r.t, leaf)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

func (h *treeHashes) add(t testing.TB, leaf chain.Hash) {
	t.Helper()
	more, err := tlog.StoredHashesForRecordHash(h.leaves, tlog.Hash(leaf), h)
	if err != nil {
		t.Fatal(err)
	}
	h.stored = append(h.stored, more...)
	h.leaves++
}

// ReadHashes implements tlog.HashReader.
func (h *treeHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = h.stored[at]
	}
	return out, nil
}
