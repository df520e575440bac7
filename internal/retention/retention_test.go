package retention

import (
	"context"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/logexport"
	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/offline"
	"github.com/agentaudit/agentaudit/internal/prove"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// threeEpochs writes a log: entries 1 to 1500 in January and to 2801 in February, each with the announcement of the next, the others in March. It returns a
// checkpoint from January.
func (r *rig) threeEpochs(march int) (january vault.Checkpoint) {
	r.t.Helper()
	r.log.Epoch(202601)
	r.log.Add(1000)
	january = r.awaitSigned()
	r.log.Add(499)
	r.log.Epoch(202602)
	r.log.Add(1300)
	r.log.Epoch(202603)
	r.log.Add(march)
	r.awaitSigned()
	return january
}

// offline checks the log as an auditor would, from a source.
func (r *rig) offline(from offline.Source, pinned ...[]byte) offline.Report {
	r.t.Helper()
	report, err := offline.Check(context.Background(), from, r.log.Head().Log, offline.Options{Keys: r.known(), Pinned: pinned})
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// proves makes a proof of an entry and checks it.
func (r *rig) proves(seq uint64) {
	r.t.Helper()
	proof, err := (&prove.Prover{Store: r.deps.Store, Vault: r.deps.Vault}).Entry(context.Background(), r.log.Head().Log, seq)
	if err != nil {
		r.t.Fatal(err)
	}
	if opened, err := chain.OpenProof(proof, r.known()); err != nil || opened.Header.Seq != seq {
		r.t.Errorf("proof of %d: %+v, %v", seq, opened, err)
	}
}

// everywhere checks the log in every way there is: beside the database, over HTTP, and from an exported folder, each with checkpoints that were kept.
func (r *rig) everywhere(behind uint64, pinned ...[]byte) {
	r.t.Helper()
	point := r.awaitSigned()
	report := r.wantGood(pinned...)
	if report.Root != point.Root.String() || report.Pruned == nil || report.Pruned.Behind != behind {
		r.t.Errorf("verify: %+v", report)
	}
	served := httptest.NewServer(r.Exporter.Handler())
	defer served.Close()
	server, err := offline.NewServer(served.URL + "/log/")
	if err != nil {
		r.t.Fatal(err)
	}
	defer server.Close()
	dir := filepath.Join(r.t.TempDir(), "export")
	if _, err := (&logexport.Exporter{Store: r.deps.Store, Vault: r.deps.Vault}).Log(context.Background(), dir, r.log.Head().Log); err != nil {
		r.t.Fatal(err)
	}
	folder, err := offline.OpenFolder(dir)
	if err != nil {
		r.t.Fatal(err)
	}
	defer folder.Close()
	for name, from := range map[string]offline.Source{"http": server.Log(r.log.Head().Log), "folder": folder.Log(r.log.Head().Log)} {
		report := r.offline(from, pinned...)
		if report.FirstBad != nil || report.Size != point.Size || report.Root != point.Root.String() || report.Pruned == nil || report.Pruned.Behind != behind {
			r.t.Errorf("%s: %+v", name, report)
		}
	}
}

// Entries go; what remains verifies with checkpoints from before, proofs are made of it, and the log grows on, also where the cut lies in a tile that is not
// full yet.
func TestPrunedLogVerifies(t *testing.T) {
	for name, march := range map[string]int{"cut in a full tile": 1700, "cut in the last tile": 2} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			january := r.threeEpochs(march)
			before := r.awaitSigned()
			const behind = 2801 / 256 * 256
			if cut := r.cut(chain.PrunedEntries, 202603); cut.Behind != behind || cut.Entries != behind-256 {
				t.Fatalf("cut %+v", cut)
			}
			done := r.prune(chain.PrunedEntries, 202603)
			if left := r.count("seq >= 256 AND seq < 2560"); left != 0 {
				t.Errorf("%d pruned rows are left", left)
			}
			if left := r.count("1"); left != r.log.Head().Size-(behind-256) {
				t.Errorf("%d rows are left of %d", left, r.log.Head().Size)
			}
			r.everywhere(behind, []byte(january.Note), []byte(before.Note))
			for _, seq := range []uint64{0, 255, behind, 2801, r.log.Head().Size - 1} {
				r.proves(seq)
			}
			if _, err := (&prove.Prover{Store: r.deps.Store, Vault: r.deps.Vault}).Entry(t.Context(), r.log.Head().Log, 300); err == nil {
				t.Error("an entry that is gone is proven")
			}
			// The record of it is an entry, signed by its author.
			found, err := r.deps.Store.FindEvents(t.Context(), store.Filter{EventID: done.Record, Limit: 10})
			if err != nil || len(found) != 1 || !strings.Contains(string(found[0].Entry), `"type":"retention.prune"`) {
				t.Fatalf("%d records of it, %v", len(found), err)
			}
			// The log goes on, with the exporter that was running and with the next one.
			r.log.Add(300)
			r.everywhere(behind, []byte(january.Note), []byte(before.Note))
			r.stop()
			r.log.Add(300)
			r.stop = r.StartExporter()
			r.everywhere(behind, []byte(january.Note), []byte(before.Note))
			if again, err := r.Plan(t.Context(), chain.PrunedEntries, 202603); err != nil || len(again) != 0 {
				t.Errorf("it is to go once more: %+v, %v", again, err)
			}
			// The next month.
			r.log.Epoch(202604)
			r.log.Add(900)
			r.awaitSigned()
			next := r.prune(chain.PrunedEntries, 202604)
			r.everywhere(next.Behind, []byte(january.Note), []byte(before.Note))
			r.awaitRecheck()
		})
	}
}

// awaitRecheck waits until the exporter has read the whole log again, and wants no alarm.
func (r *rig) awaitRecheck() {
	r.t.Helper()
	r.stop()
	r.stop = r.StartExporter()
	testkit.Eventually(r.t, soon, func() bool {
		families, err := r.Metrics.Gather()
		if err != nil {
			return false
		}
		for _, family := range families {
			for _, m := range family.GetMetric() {
				if family.GetName() == "agentaudit_exporter_recheck_end_seconds" && m.GetLabel()[0].GetValue() == r.log.Head().Log {
					return m.GetGauge().GetValue() > 0
				}
			}
		}
		return false
	}, "the exporter has read the log again")
	if text := r.Alarms.String(); text != "" {
		r.t.Errorf("the exporter says: %s", text)
	}
}

// Contents go before their entries.
func TestPrunedContents(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(100)
	r.prune(chain.PrunedContents, 202602)
	if left := r.count("content != '' AND seq < 1501"); left != 0 {
		t.Errorf("%d contents are left", left)
	}
	if left := r.count("content != '' AND seq >= 1501"); left != 1400 {
		t.Errorf("%d contents of 1400 are left that were to stay", left)
	}
	if report := r.wantGood(); report.Pruned != nil {
		t.Errorf("entries were pruned: %+v", report.Pruned)
	}
	// More than the record says is not covered by it.
	r.exec("ALTER TABLE {events} UPDATE content = '' WHERE log = {log} AND seq = 1600")
	if report := r.verify(); report.FirstBad == nil || report.FirstBad.Seq != 1600 {
		t.Errorf("a content that nobody has pruned is missing: %+v", report.FirstBad)
	}
}

// What is done to a pruned log is found.
func TestAttacksOnAPrunedLog(t *testing.T) {
	r := newRig(t)
	january := r.threeEpochs(500)
	r.prune(chain.PrunedEntries, 202603)
	r.everywhere(2560, []byte(january.Note))
	r.stop()
	f := func(name string, seq uint64, reason string, attack, repair string) {
		t.Helper()
		r.exec(attack)
		if bad := r.verify().FirstBad; bad == nil || bad.Seq != seq || !strings.Contains(bad.Reason, reason) {
			t.Errorf("%s: %+v, want seq %d: %s", name, bad, seq, reason)
		}
		r.exec(repair)
		r.wantGood()
	}
	// The tables' own copies repair.
	r.exec("CREATE TABLE " + r.Server.Database + ".events_kept ENGINE = Memory AS SELECT * FROM {events}")
	r.exec("CREATE TABLE " + r.Server.Database + ".tiles_kept ENGINE = Memory AS SELECT DISTINCT * FROM {tiles}")
	back := func(where string) string {
		return "INSERT INTO {events} SELECT * FROM " + r.Server.Database + ".events_kept WHERE log = {log} AND " + where
	}
	f("a kept entry before the cut", 255, "seq 255 expected", "ALTER TABLE {events} DELETE WHERE log = {log} AND seq = 255", back("seq = 255"))
	f("the first entry behind the cut", 2560, "seq 2560 expected", "ALTER TABLE {events} DELETE WHERE log = {log} AND seq = 2560", back("seq = 2560"))
	f("a bundle more than the record says", 2560, "seq 2560 expected", "ALTER TABLE {events} DELETE WHERE log = {log} AND seq >= 2560 AND seq < 2816", back("seq >= 2560 AND seq < 2816"))
	f("a tile of what is gone, and another beside it", 512, "", "INSERT INTO {tiles} SELECT log, level, tile, reverse(hashes), root FROM "+r.Server.Database+".tiles_kept WHERE log = {log} AND level = 0 AND tile = 2",
		"ALTER TABLE {tiles} DELETE WHERE log = {log} AND level = 0 AND tile = 2 AND hashes NOT IN (SELECT hashes FROM "+r.Server.Database+".tiles_kept)")
	f("a missing tile of what is gone", 768, "pruned", "ALTER TABLE {tiles} DELETE WHERE log = {log} AND level = 0 AND tile = 3",
		"INSERT INTO {tiles} SELECT * FROM "+r.Server.Database+".tiles_kept WHERE log = {log} AND level = 0 AND tile = 3")
}

// Whoever has the vault and ClickHouse, but no key, can neither hide what he deletes nor have us delete it.
func TestForgedPruneRecord(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(500)
	keys, err := r.Pruner.keys()
	if err != nil {
		t.Fatal(err)
	}
	cut := r.cut(chain.PrunedEntries, 202602)
	good, err := r.vouch(t.Context(), cut, keys)
	if err != nil {
		t.Fatal(err)
	}
	said, err := chain.ReadPruned(good)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "others")
	if _, err := logkeys.Create(other, "test"); err != nil {
		t.Fatal(err)
	}
	folder, err := logkeys.Load(other, "test")
	if err != nil {
		t.Fatal(err)
	}
	forged, err := said.Sign(folder.Signers()...)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.deps.Vault.RecordPrune(t.Context(), newPrune(cut, forged, "forged")); err != nil {
		t.Fatal(err)
	}
	if err := r.Resume(t.Context()); err == nil || !strings.Contains(err.Error(), "no signature of a known key") {
		t.Errorf("went on with a forged record: %v", err)
	}
	if n := r.count("1"); n != r.log.Head().Size {
		t.Errorf("%d rows of %d are left", n, r.log.Head().Size)
	}
	if bad := r.verify().FirstBad; bad == nil || !strings.Contains(bad.Reason, "prune record") {
		t.Errorf("verify: %+v", bad)
	}
	testkit.Eventually(t, soon, func() bool { return strings.Contains(r.Alarms.String(), "prune record") }, "the exporter finds it")
}

// A log that is not what was vouched for is not pruned: the record would hide it.
func TestBadLogIsNotPruned(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(500)
	r.stop()
	cut := r.cut(chain.PrunedEntries, 202603)
	r.exec("ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json') WHERE log = {log} AND seq = 1000")
	if _, err := r.Prune(t.Context(), cut, "test"); err == nil || !strings.Contains(err.Error(), "seq 1000") {
		t.Errorf("pruned a changed log: %v", err)
	}
	if list, err := r.deps.Vault.Prunes(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("recorded: %+v, %v", list, err)
	}
}

// What is old is planned from a column. Somebody who has the table moves young entries to an old epoch there, for retention to sign their deletion: it looks at
// the entries.
func TestYoungEntriesAreNotPruned(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(500)
	r.stop()
	entries, contents := r.cut(chain.PrunedEntries, 202602), r.cut(chain.PrunedContents, 202602)
	r.exec("CREATE TABLE " + r.Server.Database + ".young ENGINE = Memory AS SELECT * FROM {events} WHERE log = {log} AND epoch = 202602 AND seq < 2500")
	r.exec("ALTER TABLE {events} DELETE WHERE log = {log} AND epoch = 202602 AND seq < 2500")
	r.exec("INSERT INTO {events} SELECT * REPLACE (202601 AS epoch) FROM " + r.Server.Database + ".young")
	for _, before := range []Cut{entries, contents} {
		cut := r.cut(before.What, 202602)
		if cut.Behind <= before.Behind {
			t.Fatalf("the attack does nothing: %+v", cut)
		}
		if _, err := r.Prune(t.Context(), cut, "test"); err == nil || !strings.Contains(err.Error(), "stands in epoch 202602") {
			t.Errorf("pruned young %s: %v", cut.What, err)
		}
	}
	if list, err := r.deps.Vault.Prunes(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("recorded: %+v, %v", list, err)
	}
	if n := r.count("1"); n != r.log.Head().Size {
		t.Errorf("%d rows of %d are left", n, r.log.Head().Size)
	}
}

// Pruning is interrupted at each step and goes on: nothing is dropped before its record is sealed and signed, and in the end everything is.
func TestInterruptedPruneGoesOn(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(500)
	cut := r.cut(chain.PrunedEntries, 202603)
	r.exec("CREATE TABLE " + r.Server.Database + ".backup ENGINE = Memory AS SELECT * FROM {events}")
	r.stop() // so that nothing that is sealed is signed
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := r.Prune(ctx, cut, "test"); err == nil {
		t.Fatal("pruned without a signed record")
	}
	if n := r.count("1"); n != r.log.Head().Size {
		t.Fatalf("%d rows of %d are left before the record was signed", n, r.log.Head().Size)
	}
	r.wantGood() // what was recorded may go at any time
	r.stop = r.StartExporter()
	if err := r.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := r.count("seq >= 256 AND seq < 2560"); left != 0 {
		t.Errorf("%d pruned rows are left", left)
	}
	r.everywhere(2560)
	if err := r.Resume(t.Context()); err != nil { // nothing is left to do
		t.Error(err)
	}
	// A backup of ClickHouse brings back what was dropped.
	r.exec("INSERT INTO {events} SELECT * FROM " + r.Server.Database + ".backup WHERE log = {log} AND seq >= 256 AND seq < 2560")
	r.everywhere(2560)
	if err := r.Resume(t.Context()); err != nil {
		t.Error(err)
	}
	if left := r.count("seq >= 256 AND seq < 2560"); left != 0 {
		t.Errorf("%d restored rows are left", left)
	}
	if found, err := r.deps.Store.FindEvents(t.Context(), store.Filter{Type: typePrune, Limit: 10}); err != nil || len(found) != 1 {
		t.Errorf("%d records of one prune, %v", len(found), err)
	}
}

// The policy keeps what is young, and drops the rest by itself.
func TestPolicy(t *testing.T) {
	r := newRig(t)
	r.threeEpochs(500)
	stop := r.Deployment.Run(func(ctx context.Context) error { return r.Pruner.Run(ctx, Policy{EntriesMonths: 1, Every: time.Hour}) })
	defer stop()
	testkit.Eventually(t, soon, func() bool { return r.count("seq >= 256 AND seq < 2560") == 0 }, "January and February are gone")
	r.everywhere(2560)
	for _, test := range []struct {
		at     string
		months int
		want   uint32
	}{{"2026-11-21", 1, 202610}, {"2026-11-21", 12, 202511}, {"2026-01-31", 1, 202512}, {"2026-03-31", 1, 202602}} {
		at, err := time.Parse(time.DateOnly, test.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := Before(at, test.months); got != test.want {
			t.Errorf("%d months before %s: %d, want %d", test.months, test.at, got, test.want)
		}
	}
}
