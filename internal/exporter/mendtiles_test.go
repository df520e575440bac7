package exporter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/tiles"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// tiledLog is a log with a checkpoint and the tiles that it must have.
type tiledLog struct {
	*testLog
	right []store.StoredTile
}

// newTiledLog makes a log, has an exporter seal it, and keeps a copy of its tiles.
func (r *rig) newTiledLog(name string, entries int) *tiledLog {
	r.t.Helper()
	l := &tiledLog{testLog: r.newLog(name, entries-1)}
	p := r.start()
	r.awaitCheckpoint(l.testLog)
	p.stop()
	l.right = r.storedTiles(name)
	r.exec("CREATE TABLE " + r.server.Database + ".kept AS {tiles}")
	r.exec("INSERT INTO " + r.server.Database + ".kept SELECT * FROM {tiles}")
	return l
}

// storedTiles are all tiles of a log, by level and index.
func (r *rig) storedTiles(log string) []store.StoredTile {
	r.t.Helper()
	var all []store.StoredTile
	for level := range 3 {
		some, err := r.store.Tiles(r.t.Context(), log, level, 0, 10_000)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, some...)
	}
	return all
}

func (r *rig) tilesDeps() tiles.Deps {
	return tiles.Deps{Store: r.store, Vault: r.vault, Keys: r.known()}
}

// Tiles that were deleted, changed or doubled are found, mended, and then the exporter goes on; entries are left alone.
func TestMendTiles(t *testing.T) {
	const log, entries = "agent.events/0", 66_000 // 257 tiles, one above them, and then some
	r := newRig(t)
	r.cfg.RecheckRate = entries // a second for a pass
	l := r.newTiledLog(log, entries)
	if len(l.right) != 258 {
		t.Fatalf("%d tiles", len(l.right))
	}
	const where = " WHERE log = '" + log + "' AND "
	remove := func(place string) string {
		return "ALTER TABLE {tiles} DELETE" + where + place + " SETTINGS mutations_sync = 2"
	}
	forge := func(place string) string {
		return "INSERT INTO {tiles} SELECT * REPLACE (reverse(hashes) AS hashes) FROM " + r.server.Database + ".kept" + where + place
	}
	f := func(name string, want []string, statements ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			for _, statement := range statements {
				r.exec(statement)
			}
			checked := uint64(0)
			deps := r.tilesDeps()
			deps.Progress = func(n uint64) { checked += n }
			found, err := tiles.Check(t.Context(), deps, log)
			if err != nil {
				t.Fatal(err)
			}
			if checked != entries || found.Size != entries {
				t.Errorf("%d entries checked, %d made the root", checked, found.Size)
			}
			var got []string
			for _, w := range found.Wrong {
				got = append(got, fmt.Sprintf("%d/%d %s", w.Level, w.Index, w.Problem))
			}
			if !slices.Equal(got, want) {
				t.Errorf("found %v, want %v", got, want)
			}
			if err := found.Mend(t.Context()); err != nil {
				t.Fatal(err)
			}
			if now := r.storedTiles(log); !slices.EqualFunc(now, l.right, sameTile) {
				t.Errorf("%d tiles are stored now, not the %d right ones", len(now), len(l.right))
			}
		})
	}
	f("here and there",
		[]string{"0/3 is missing", "0/7 is not made of the entries", "0/9 is not made of the entries", "0/11 is not made of the entries", "0/256 is missing", "1/0 is not made of the entries"},
		remove("(level = 1 OR tile IN (3, 7, 11, 256))"), forge("(level = 1 OR tile = 7)"),
		"ALTER TABLE {tiles} UPDATE root = reverse(root)"+where+"level = 0 AND tile = 9 SETTINGS mutations_sync = 2",
		"INSERT INTO {tiles} SELECT * REPLACE (substring(hashes, 33) AS hashes) FROM "+r.server.Database+".kept"+where+"level = 0 AND tile = 11")
	var all []string
	for _, tile := range l.right {
		all = append(all, fmt.Sprintf("%d/%d is missing", tile.Level, tile.Index))
	}
	f("all removed", all, remove("1"))

	t.Run("doubled", func(t *testing.T) {
		r.exec(forge("level = 0 AND tile IN (0, 5) OR level = 1"))
		p := r.start()
		testkit.Eventually(t, soon, func() bool { return len(p.alarms.list()) > 0 }, "the exporter finds it")
		l.add(10)
		p.stop()
		if size := r.checkpointSize(log); size != entries {
			t.Errorf("the exporter went on to %d entries over wrong tiles", size)
		}
		found, err := tiles.Check(t.Context(), r.tilesDeps(), log)
		if err != nil || len(found.Wrong) != 3 { // which of two comes first, and so whether it is "changed" or "twice", is an accident of their bytes
			t.Fatalf("%+v, %v", found, err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := found.Mend(cancelled); !errors.Is(err, context.Canceled) {
			t.Errorf("interrupted: %v", err)
		}
		if err := found.Mend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now := r.storedTiles(log); !slices.EqualFunc(now, l.right, sameTile) {
			t.Errorf("%d tiles are stored now, not the %d right ones", len(now), len(l.right))
		}
		// The exporter goes on, and finds nothing wrong from the first entry on.
		p = r.start()
		r.awaitCheckpoint(l.testLog)
		testkit.Eventually(t, soon, func() bool { return p.metric(t, "agentaudit_exporter_recheck_end_seconds", log) > 0 }, "all is checked anew")
		if alarms := p.alarms.list(); len(alarms) > 0 {
			t.Errorf("mended, but %+v", alarms)
		}
	})
}

func sameTile(a, b store.StoredTile) bool {
	return a.Level == b.Level && a.Index == b.Index && a.Root == b.Root && bytes.Equal(a.Hashes, b.Hashes)
}

// Whoever has changed entries must not get tiles that fit them.
func TestMendTilesRefuses(t *testing.T) {
	const log = "agent.events/0"
	r := newRig(t)
	if _, err := tiles.Check(t.Context(), r.tilesDeps(), log); !errors.Is(err, tiles.ErrNoCheckpoint) {
		t.Errorf("before there is a checkpoint: %v", err)
	}
	l := r.newTiledLog(log, 600)
	r.exec("CREATE TABLE " + r.server.Database + ".entries AS {events}")
	r.exec("INSERT INTO " + r.server.Database + ".entries SELECT * FROM {events}")
	r.exec("ALTER TABLE {tiles} DELETE WHERE tile = 1 SETTINGS mutations_sync = 2")
	const where = " WHERE log = '" + log + "' AND "
	before := r.storedTiles(log)
	checkpoint, _, err := r.vault.Checkpoint(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	f := func(name string, seq uint64, reason, statement string) {
		t.Helper()
		r.exec(statement)
		found, err := tiles.Check(t.Context(), r.tilesDeps(), log)
		var fault *chain.Fault
		if !errors.As(err, &fault) || fault.Seq != seq || !strings.Contains(fault.Reason, reason) {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
		if !slices.EqualFunc(r.storedTiles(log), before, sameTile) {
			t.Errorf("%s: tiles were changed", name)
		}
		r.exec("TRUNCATE TABLE {events}")
		r.exec("INSERT INTO {events} SELECT * FROM " + r.server.Database + ".entries")
	}
	const changed = "replaceOne(entry, 'not JSON', 'not json')"
	f("an entry", 300, "leaf hash", "ALTER TABLE {events} UPDATE entry = "+changed+where+"seq = 300 SETTINGS mutations_sync = 2")
	f("an entry and its leaf hash", 301, "prev", "ALTER TABLE {events} UPDATE entry = "+changed+", leaf_hash = SHA256(concat(unhex('00'), "+changed+"))"+where+"seq = 300 SETTINGS mutations_sync = 2")
	f("the last entry and its leaf hash", 599, "do not make the root", "ALTER TABLE {events} UPDATE entry = "+changed+", leaf_hash = SHA256(concat(unhex('00'), "+changed+"))"+where+"seq = 599 SETTINGS mutations_sync = 2")
	f("an entry removed", 300, "", "ALTER TABLE {events} DELETE"+where+"seq = 300 SETTINGS mutations_sync = 2")
	f("cut", 500, "missing, but the vault's checkpoint has 600", "ALTER TABLE {events} DELETE"+where+"seq >= 500 SETTINGS mutations_sync = 2")

	stranger, err := note.NewSigner(newStrangersKey(t))
	if err != nil {
		t.Fatal(err)
	}
	lie, err := (&chain.Checkpoint{Deployment: "test", Log: log, Size: 600, Root: checkpoint.Root}).Sign(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.vault.ReplaceNote(t.Context(), checkpoint, string(lie)); err != nil {
		t.Fatal(err)
	}
	f("a checkpoint that a stranger has signed", 599, "no signature of a known key", "SELECT 1")
	if err := r.vault.ReplaceNote(t.Context(), checkpoint, checkpoint.Note); err != nil {
		t.Fatal(err)
	}

	// What was found no longer fits when entries are changed behind the check.
	found, err := tiles.Check(t.Context(), r.tilesDeps(), log)
	if err != nil || len(found.Wrong) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	r.exec("ALTER TABLE {events} UPDATE leaf_hash = SHA256('x')" + where + "seq = 300 SETTINGS mutations_sync = 2")
	if err := found.Mend(t.Context()); err == nil || !strings.Contains(err.Error(), "has changed since") {
		t.Errorf("changed in between: %v", err)
	}
	if !slices.EqualFunc(r.storedTiles(log), before, sameTile) {
		t.Error("tiles were changed")
	}
	r.exec("TRUNCATE TABLE {events}")
	r.exec("INSERT INTO {events} SELECT * FROM " + r.server.Database + ".entries")
	if err := found.Mend(t.Context()); err != nil || !slices.EqualFunc(r.storedTiles(log), l.right, sameTile) {
		t.Errorf("with the right entries: %v", err)
	}
}

func newStrangersKey(t *testing.T) string {
	t.Helper()
	private, _, err := note.GenerateKey(nil, "test")
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// Behind entries that were pruned, what follows from the leaf hashes that remain is mended. The leaf hashes themselves are nowhere else.
func TestMendTilesOfPrunedLog(t *testing.T) {
	const log, behind = "agent.events/0", 1024
	r := newRig(t)
	l := r.newTiledLog(log, 1500)
	r.prune(log, behind)
	const where = " WHERE log = '" + log + "' AND "
	r.exec("ALTER TABLE {tiles} UPDATE root = reverse(root)" + where + "tile = 2 SETTINGS mutations_sync = 2")
	r.exec("ALTER TABLE {tiles} DELETE" + where + "tile IN (0, 4) SETTINGS mutations_sync = 2")
	found, err := tiles.Check(t.Context(), r.tilesDeps(), log)
	if err != nil || len(found.Wrong) != 3 {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := found.Mend(t.Context()); err != nil || !slices.EqualFunc(r.storedTiles(log), l.right, sameTile) {
		t.Errorf("mended: %v", err)
	}
	r.exec("ALTER TABLE {tiles} DELETE" + where + "tile = 2 SETTINGS mutations_sync = 2")
	var fault *chain.Fault
	if found, err := tiles.Check(t.Context(), r.tilesDeps(), log); !errors.As(err, &fault) || fault.Seq != 512 || !strings.Contains(fault.Reason, "its entries were pruned") {
		t.Errorf("leaf hashes that are gone: %+v, %v", found, err)
	}
}

// prune drops entries as retention does.
func (r *rig) prune(log string, behind uint64) {
	r.t.Helper()
	verifier, tree := chain.NewVerifier(log), chain.NewTree()
	errBehind := errors.New("enough")
	err := r.store.Scan(r.t.Context(), log, 0, func(seq uint64, entry []byte, leaf chain.Hash) error {
		if seq == behind {
			return errBehind
		}
		if err := verifier.Check(seq, entry, leaf); err != nil {
			return err
		}
		return tree.Append(leaf, func(chain.Tile) error { return nil })
	})
	if !errors.Is(err, errBehind) {
		r.t.Fatal(err)
	}
	head := verifier.Head()
	record := chain.Pruned{Deployment: "test", Log: log, What: chain.PrunedEntries, Behind: behind, Leaf: head.Leaf, Root: tree.Root(), Next: head.Next, Epoch: head.NextEpoch}
	folder, err := r.loadKeys()
	if err != nil {
		r.t.Fatal(err)
	}
	signed, err := record.Sign(folder.Signers()...)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, _, err := r.vault.RecordPrune(r.t.Context(), vault.Prune{Log: log, What: record.What, Behind: behind, Note: string(signed), Reason: "test", At: time.Now()}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.store.DropEntries(r.t.Context(), store.Part{Log: log, From: chain.PrunedFrom, Behind: behind}, nil); err != nil {
		r.t.Fatal(err)
	}
}
