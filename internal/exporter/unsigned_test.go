package exporter

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// sign signs a checkpoint with the keys of a folder.
func sign(t *testing.T, folder string, point chain.Checkpoint) string {
	t.Helper()
	keys, err := logkeys.Load(folder, "test")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := point.Sign(keys.Signers()...)
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

// Somebody who has the vault and ClickHouse, but no key, writes a history and a checkpoint that fits it. No exporter signs on top of it, or signs it anew.
func TestUnsignedCheckpointIsNotContinued(t *testing.T) {
	const log = "agent.events/0"
	strangers := filepath.Join(t.TempDir(), "keys")
	if _, err := logkeys.Create(strangers, "test"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, reason string
		note         func(r *rig, is chain.Checkpoint) string
	}{
		{"no note", "is not good", func(*rig, chain.Checkpoint) string { return "" }},
		{"another's key", "no signature of a known key", func(_ *rig, is chain.Checkpoint) string { return sign(t, strangers, is) }},
		{"signed for less", "something else than what is signed", func(r *rig, is chain.Checkpoint) string {
			is.Size, is.Root = 10, r.treeOf(log, 10).Root()
			return sign(t, r.keys, is)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			l := r.newLog(log, 19)
			root := r.treeOf(log, l.head.Size).Root()
			note := test.note(r, chain.Checkpoint{Deployment: "test", Log: log, Size: l.head.Size, Root: root})
			forged := vault.Checkpoint{Log: log, Size: l.head.Size, Head: l.head.Leaf, Root: root, Note: note, At: time.Now()}
			if swapped, err := r.vault.CompareAndSwapCheckpoint(t.Context(), log, 0, forged); err != nil || !swapped {
				t.Fatal(swapped, err)
			}
			l.add(5)
			r.awaitAlarm(r.start(), log, forged.Size-1, test.reason)
			if now, _, err := r.vault.Checkpoint(t.Context(), log); err != nil || now.Size != forged.Size || now.Note != note {
				t.Errorf("signed: %d entries, %v", now.Size, err)
			}
		})
	}
}

// The head in the vault is another entry than the last of the signed tree, and ClickHouse goes on from it: the tiles, which make the signed root, do not.
func TestHeadIsTheLastLeafOfTheRoot(t *testing.T) {
	const log = "agent.events/0"
	r := newRig(t)
	file := r.useVaultFile()
	l := r.newLog(log, chain.TileWidth-1) // a tile that is full: no leaf hash beside an entry is read for it
	p := r.start()
	before := r.awaitSigned(l)
	p.stop()
	const changed = "replaceOne(entry, 'not JSON', 'not json')"
	r.exec(fmt.Sprintf("ALTER TABLE {events} UPDATE entry = %s, leaf_hash = SHA256(concat(char(0), %s)) WHERE log = '%s' AND seq = %d SETTINGS mutations_sync = 2",
		changed, changed, log, chain.TileWidth-1))
	entry, err := r.store.EntryAt(t.Context(), log, chain.TileWidth-1)
	if err != nil {
		t.Fatal(err)
	}
	if l.head, err = chain.HeadOf(entry); err != nil {
		t.Fatal(err)
	}
	l.add(3)
	db, err := sql.Open("sqlite", file.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	forged := chain.LeafHash(entry)
	if _, err := db.ExecContext(t.Context(), `UPDATE checkpoints SET head = ?`, forged[:]); err != nil {
		t.Fatal(err)
	}
	p = r.start()
	testkit.Eventually(t, soon, func() bool { return len(p.alarms.list()) > 0 }, "an alarm")
	if size := r.checkpointSize(log); size != before.Size {
		t.Errorf("signed %d entries behind one that was not", size)
	}
}

// A prune is signed by a key that was made since the exporter read its keys: the log is good.
func TestPruneSignedByAKeyMadeSince(t *testing.T) {
	const log = "agent.events/0"
	r := newRig(t)
	r.cfg.RepublishEvery = time.Hour // keys are read as often
	l := r.newLog(log, 1500)
	p := r.start()
	r.awaitSigned(l)
	keys, err := r.loadKeys()
	if err != nil {
		t.Fatal(err)
	}
	r.newKey()
	if err := logkeys.Retire(r.keys, "test", keys.Keys()[0].ID); err != nil {
		t.Fatal(err)
	}
	r.prune(log, 1024)
	pruned := time.Now().Unix()
	testkit.Eventually(t, soon, func() bool {
		return len(p.alarms.list()) > 0 || p.metric(t, "agentaudit_exporter_recheck_end_seconds", log) > float64(pruned)
	}, "a whole re-check of what is left")
	if list := p.alarms.list(); len(list) > 0 {
		t.Errorf("alarms %+v", list)
	}
	l.add(10)
	r.awaitCheckpoint(l)
	if _, err := p.pruned(context.Background(), log); err != nil {
		t.Error(err)
	}
}
