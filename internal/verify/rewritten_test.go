package verify_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/internal/verify"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

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
