package exporter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// A log that is longer than one query may read is checked anew in steps, borders included.
func TestRecheckInSteps(t *testing.T) {
	r := newRig(t)
	l := r.newLog("agent.events/0", 99) // 100 entries
	p := r.start()
	r.awaitCheckpoint(l)
	checkpoint, _, err := r.vault.Checkpoint(t.Context(), l.head.Log)
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	for _, step := range []uint64{1, 7, 10, 99, 100, 101} {
		if err := p.checkWhole(t.Context(), checkpoint, step); err != nil {
			t.Errorf("steps of %d: %v", step, err)
		}
	}
	for _, seq := range []string{"99", "49", "9", "0"} { // the last, and the borders of steps of ten
		r.exec("INSERT INTO {events} SELECT * FROM {events} WHERE log = 'agent.events/0' AND seq = " + seq)
		if err := p.checkWhole(t.Context(), checkpoint, 10); err == nil || !strings.Contains(err.Error(), "at seq "+seq+": double") {
			t.Errorf("entry %s is there twice: %v", seq, err)
		}
	}
}

// The metric is the time at which all entries were last found right; a check that finds a fault, or does not come to its end, leaves it.
func TestRecheckTellsWhenAllWasRight(t *testing.T) {
	const log = "agent.events/0"
	r := newRig(t)
	l := r.newLog(log, 50)
	began := float64(time.Now().Unix())
	p := r.start()
	r.awaitCheckpoint(l)
	end := func() float64 { return p.metric(t, "agentaudit_exporter_recheck_end_seconds", log) }
	testkit.Eventually(t, soon, func() bool { return end() >= began }, "the log is checked from the first entry to the checkpoint")
	p.stop()

	const long = 1 // in 1970
	gauge := p.metrics.rechecked.WithLabelValues(log)
	gauge.Set(long)
	r.exec("CREATE TABLE " + r.server.Database + ".kept AS {events}")
	r.exec("INSERT INTO " + r.server.Database + ".kept SELECT * FROM {events}")
	r.exec("ALTER TABLE {events} DELETE WHERE log = '" + log + "' AND seq = 50 SETTINGS mutations_sync = 2")
	var fault *chain.Fault
	if err := p.recheckOnce(t.Context(), log); !errors.As(err, &fault) || fault.Seq != 50 || end() != long {
		t.Errorf("without its last entry: %v, the metric says %v", err, end())
	}
	r.exec("INSERT INTO {events} SELECT * FROM " + r.server.Database + ".kept WHERE seq = 50")
	if err := p.recheckOnce(t.Context(), log); err != nil || end() < began {
		t.Errorf("mended: %v, the metric says %v", err, end())
	}
}
