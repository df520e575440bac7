package exporter

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/logkeys"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// treeOf is the tree over a log's stored leaves, built anew.
func (r *rig) treeOf(log string, size uint64) *chain.Tree {
	r.t.Helper()
	tree := chain.NewTree()
	err := r.store.Scan(context.Background(), log, 0, func(seq uint64, _ []byte, leaf chain.Hash) error {
		if seq >= size {
			return nil
		}
		return tree.Append(leaf, func(chain.Tile) error { return nil })
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return tree
}

// awaitSigned waits for the checkpoint of l and checks what is signed.
func (r *rig) awaitSigned(l *testLog) vault.Checkpoint {
	r.t.Helper()
	r.awaitCheckpoint(l)
	stored, _, err := r.vault.Checkpoint(context.Background(), l.head.Log)
	if err != nil {
		r.t.Fatal(err)
	}
	signed, _, err := chain.OpenCheckpoint([]byte(stored.Note), r.known())
	want := chain.Checkpoint{Deployment: "test", Log: l.head.Log, Size: l.head.Size, Root: r.treeOf(l.head.Log, l.head.Size).Root()}
	if err != nil || signed != want || stored.Root != want.Root {
		r.t.Errorf("signed %+v (%v), stored root %v, want %+v", signed, err, stored.Root, want)
	}
	return stored
}

// Checkpoints are signed over the right tree, whatever the steps and restarts on the way.
func TestSignsTheTree(t *testing.T) {
	r := newRig(t)
	l := r.newLog("agent.events/0", 3)
	p := r.start()
	r.awaitSigned(l)
	for _, n := range []int{250, 2, 1, 255, 256, 700} {
		l.add(n)
		r.awaitSigned(l)
		p.stop()
		p = r.start()
	}
	l.add(1)
	r.awaitSigned(l)
	if list := p.alarms.list(); len(list) > 0 {
		t.Errorf("alarms %+v", list)
	}
}

// A rotation: the next key signs what is there already, without waiting for entries; a retired one signs no more.
func TestOtherKeysSign(t *testing.T) {
	r := newRig(t)
	r.cfg.RepublishEvery = time.Second
	l := r.newLog("agent.events/0", 300)
	p := r.start()
	first := r.awaitSigned(l)
	keys, err := r.loadKeys()
	if err != nil {
		t.Fatal(err)
	}
	next := r.newKey()
	await := func(what string, signers ...string) {
		t.Helper()
		testkit.Eventually(t, soon, func() bool {
			stored, _, err := r.vault.Checkpoint(context.Background(), l.head.Log)
			if err != nil {
				return false
			}
			_, signatures, err := chain.OpenCheckpoint([]byte(stored.Note), r.known())
			return err == nil && len(signatures) == len(signers) && stored.Root == first.Root &&
				slices.ContainsFunc(signers, func(vkey string) bool { return opens(t, stored.Note, vkey) })
		}, what)
	}
	await("both keys sign", keys.Keys()[0].VKey, next.VKey)
	if err := logkeys.Retire(r.keys, "test", keys.Keys()[0].ID); err != nil {
		t.Fatal(err)
	}
	await("the next key signs alone", next.VKey)
	l.add(10)
	r.awaitSigned(l)
	if list := p.alarms.list(); len(list) > 0 {
		t.Errorf("alarms %+v", list)
	}
}

func opens(t *testing.T, note, vkey string) bool {
	t.Helper()
	known, err := logkeys.Verifiers([]string{vkey})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = chain.OpenCheckpoint([]byte(note), known)
	return err == nil
}

// TestChangedTile changes what proofs are made of.
func TestChangedTile(t *testing.T) {
	const log = "agent.events/0"
	for _, test := range []struct {
		name, statement string
		seq             uint64
		reason          string
	}{
		{"hashes", "ALTER TABLE {tiles} UPDATE root = reverse(root) WHERE log = '" + log + "' AND level = 0 AND tile = 1 SETTINGS mutations_sync = 2", 256, "not made of the entries"},
		{"deleted", "ALTER TABLE {tiles} DELETE WHERE log = '" + log + "' AND level = 0 AND tile = 1 SETTINGS mutations_sync = 2", 256, "missing"},
		{"doubled", "INSERT INTO {tiles} SELECT log, level, tile, reverse(hashes), root FROM {tiles} WHERE log = '" + log + "' AND level = 0 AND tile = 1", 256, ""},
	} {
		for _, running := range []bool{true, false} {
			name := test.name + ", while stopped"
			if running {
				name = test.name + ", while running"
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				l := r.newLog(log, 1000)
				p := r.start()
				r.awaitCheckpoint(l)
				if running {
					r.exec(test.statement)
				} else {
					p.stop()
					r.exec(test.statement)
					p = r.start()
				}
				r.awaitAlarm(p, log, test.seq, test.reason)
			})
		}
	}
}

// The vault's root is changed, by somebody who has the vault but no key: no exporter signs on top of it.
func TestChangedRoot(t *testing.T) {
	r := newRig(t)
	l := r.newLog("agent.events/0", 300)
	p := r.start()
	stored := r.awaitSigned(l)
	p.stop()
	l.add(1)
	next := vault.Checkpoint{Log: l.head.Log, Size: l.head.Size, Head: l.head.Leaf, Root: stored.Root, Note: stored.Note, At: time.Now()}
	if swapped, err := r.vault.CompareAndSwapCheckpoint(t.Context(), l.head.Log, stored.Size, next); !swapped || err != nil {
		t.Fatal(swapped, err)
	}
	r.awaitAlarm(r.start(), "agent.events/0", l.head.Size-1, "do not make the root")
}

// get asks the handler.
func get(t testing.TB, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestServe(t *testing.T) {
	r := newRig(t)
	r.cfg.PublicTiles = true
	l := r.newLog("agent.events/0", 600)
	p := r.start()
	stored := r.awaitSigned(l) // 601 entries
	h := p.Handler()
	f := func(path string, status int, kind string, size int) []byte {
		t.Helper()
		w := get(t, h, path)
		if w.Code != status || w.Header().Get("Content-Type") != kind || size >= 0 && w.Body.Len() != size {
			t.Errorf("%s: status %d, %s, %d bytes", path, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		return w.Body.Bytes()
	}
	const binary, text, trouble = "application/octet-stream", "text/plain; charset=utf-8", "application/problem+json"
	if body := f("/log/agent.events/0/checkpoint", 200, text, -1); string(body) != stored.Note {
		t.Errorf("another checkpoint: %s", body)
	}
	f("/log/agent.events/0/tile/0/000", 200, binary, 8192)
	f("/log/agent.events/0/tile/0/002.p/89", 200, binary, 89*32)
	f("/log/agent.events/0/tile/0/001.p/7", 200, binary, 7*32) // of an older checkpoint
	f("/log/agent.events/0/tile/1/000.p/2", 200, binary, 2*32)
	bundle := f("/log/agent.events/0/tile/entries/002.p/89", 200, binary, -1)
	entries := 0
	for ; len(bundle) > 0; entries++ {
		var err error
		if _, bundle, err = chain.CutBundled(bundle); err != nil {
			t.Fatal(err)
		}
	}
	if entries != 89 {
		t.Errorf("%d entries in the bundle", entries)
	}
	for _, path := range []string{
		"/log/agent.events/0/tile/0/002", "/log/agent.events/0/tile/0/002.p/90", "/log/agent.events/0/tile/1/000", "/log/agent.events/0/tile/2/000.p/1",
		"/log/agent.events/0/tile/entries/003.p/1", "/log/agent.events/1/checkpoint", "/log/agent.events/1/tile/0/000", "/log/agent.events/0/", "/log/", "/",
		"/log/agent.events/0/tile/0/0", "/log/x", "/log/agent.events/0/tile/entries/999999999999999999",
	} {
		f(path, 404, trouble, -1)
	}
	if w := get(t, h, "/log/agent.events/0/checkpoint"); w.Header().Get("Cache-Control") != "no-cache" {
		t.Error("a checkpoint may be cached")
	}
	if w := get(t, h, "/log/agent.events/0/tile/0/000"); w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
		t.Error("a tile may not be cached")
	}
	p.cfg.PublicTiles = false
	f("/log/agent.events/0/checkpoint", 403, trouble, -1)
}
