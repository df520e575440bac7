package ingest

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// A successor of a log that somebody made up without the keyring would have ingest leave the log, and go on behind records of his choice: the partition stops.
func TestForgedGenerationStopsThePartition(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	_, stop := r.start()
	r.produce(someEvents(5)...)
	r.awaitSealed(1)
	stop()
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	before := r.check(log)
	db, err := sql.Open("sqlite", filepath.Join(r.vaultDir, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	next := chain.LogName(r.cfg.EventsTopic, 0, 1)
	if _, err := db.ExecContext(t.Context(), `INSERT INTO log_generations (topic, partition, generation, log, predecessor, predecessor_size, predecessor_head, first_offset, reason, at_micros)
		VALUES (?, 0, 1, ?, ?, ?, ?, 1000, 'r', 1)`, r.cfg.EventsTopic, next, log, before.head.Size, make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	in, stop := r.start()
	r.produce(someEvents(5)...)
	testkit.Eventually(t, 30*time.Second, func() bool { return in.stops.check(t.Context()) != nil }, "the partition stops")
	if err := in.stops.check(t.Context()); !strings.Contains(err.Error(), r.cfg.EventsTopic+"/0 (vault)") {
		t.Errorf("readiness says %v", err)
	}
	stop()
	if c := r.check(next); c.head.Size != 0 {
		t.Errorf("the made up log has %d entries", c.head.Size)
	}
	// Without the row everything is as it was.
	if _, err := db.ExecContext(t.Context(), `DELETE FROM log_generations`); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.awaitSealed(1)
	if c := r.check(log); len(c.offsets) != 10 {
		t.Errorf("%d records sealed, want 10", len(c.offsets))
	}
}
