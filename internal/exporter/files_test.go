package exporter

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
)

func TestCheckpointFiles(t *testing.T) {
	r := newRig(t)
	r.cfg.CheckpointDir = filepath.Join(t.TempDir(), "checkpoints")
	one, two := r.newLog("agent.events/0", 20), r.newLog("agent.events/1", 5)
	await := func(l *testLog) {
		t.Helper()
		stored := r.awaitSigned(l)
		path := filepath.Join(r.cfg.CheckpointDir, l.head.Log, "checkpoint")
		testkit.Eventually(t, soon, func() bool {
			file, err := os.ReadFile(path)
			return err == nil && string(file) == stored.Note
		}, "the file has the latest checkpoint")
	}
	p := r.start()
	await(one)
	await(two)
	for range 3 {
		one.add(10)
		await(one)
	}
	p.stop()
	if err := os.RemoveAll(r.cfg.CheckpointDir); err != nil {
		t.Fatal(err)
	}
	p = r.start() // writes what has not moved too
	await(two)
	await(one)
	// A folder that cannot be written holds nothing up.
	if err := os.RemoveAll(r.cfg.CheckpointDir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.cfg.CheckpointDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	one.add(10)
	r.awaitSigned(one)
	testkit.Eventually(t, soon, func() bool { return p.metric(t, "agentaudit_exporter_retries_total", "") > 0 }, "the failure is counted")
	if err := os.Remove(r.cfg.CheckpointDir); err != nil {
		t.Fatal(err)
	}
	await(one)
}

// A later checkpoint is what is left of a vault that went back: it is not overwritten.
func TestCheckpointFileIsNotPutBack(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	point := func(size uint64) vault.Checkpoint {
		return vault.Checkpoint{Log: witnessedLog, Size: size, Note: string(r.sign(size, [32]byte{byte(size)}))}
	}
	for _, size := range []uint64{5, 6, 6, 9} {
		if err := writeCheckpoint(dir, point(size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeCheckpoint(dir, point(8)); !errors.Is(err, errFileIsLater) {
		t.Error(err)
	}
	path := filepath.Join(dir, witnessedLog, "checkpoint")
	if file, err := os.ReadFile(path); err != nil || string(file) != point(9).Note {
		t.Errorf("%s, %v", file, err)
	}
	if err := os.WriteFile(path, []byte("cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeCheckpoint(dir, point(8)); err != nil {
		t.Error(err)
	}
	if err := writeCheckpoint(dir, vault.Checkpoint{Log: "../0", Note: "x"}); err == nil {
		t.Error("wrote outside of the folder")
	}
}
