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
		if err := p.checkWhole(t.Context(), checkpoint, step, atOnce); err != nil {
			t.Errorf("steps of %d: %v", step, err)
		}
	}
	for _, seq := range []string{"99", "49", "9", "0"} { // the last, and the borders of steps of ten
		r.exec("INSERT INTO {events} SELECT * FROM {events} WHERE log = 'agent.events/0' AND seq = " + seq)
		if err := p.checkWhole(t.Context(), checkpoint, 10, atOnce); err == nil || !strings.Contains(err.Error(), "at seq "+seq+": double") {
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
	if err := p.recheckOnce(t.Context(), log, unpaced); !errors.As(err, &fault) || fault.Seq != 50 || end() != long {
		t.Errorf("without its last entry: %v, the metric says %v", err, end())
	}
	r.exec("INSERT INTO {events} SELECT * FROM " + r.server.Database + ".kept WHERE seq = 50")
	if err := p.recheckOnce(t.Context(), log, unpaced); err != nil || end() < began {
		t.Errorf("mended: %v, the metric says %v", err, end())
	}
}

// Re-checking keeps to its rate, over all logs together, and shows how far it is.
func TestRecheckKeepsToItsRate(t *testing.T) {
	r := newRig(t)
	r.cfg.RecheckRate, r.cfg.RecheckEvery = scrubStepEntries/2, time.Hour // steps of two seconds, one pass
	one, other := r.newLog("agent.events/0", 2*scrubStepEntries-1), r.newLog("agent.events/1", scrubStepEntries-1)
	p := r.start()
	ended := func(log string) bool { return p.metric(t, "agentaudit_exporter_recheck_end_seconds", log) > 0 }
	r.awaitCheckpoint(one)
	r.awaitCheckpoint(other)
	began := time.Now() // of three steps one is free, and another one if it was quicker than we
	testkit.Eventually(t, soon, func() bool { return ended("agent.events/0") && ended("agent.events/1") }, "both are checked anew")
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("%d entries took %v at %d a second", 3*scrubStepEntries, took, r.cfg.RecheckRate)
	}
	for _, log := range []string{"agent.events/0", "agent.events/1"} {
		if progress := p.metric(t, "agentaudit_exporter_recheck_progress_ratio", log); progress != 1 {
			t.Errorf("progress of %s: %v", log, progress)
		}
		due := p.metric(t, "agentaudit_exporter_recheck_due_seconds", log) - float64(time.Now().Unix())
		want := (r.cfg.RecheckEvery + scrubGrace).Seconds() + 12 // from the end of its pass on, which was a while ago for the log that was first
		if since := time.Since(began).Seconds(); due < want-since-3 || due > want+3 {
			t.Errorf("the next pass of %s is due in %v s, want %v, less up to %v", log, due, want, since)
		}
	}
	if checked := p.metric(t, "agentaudit_exporter_rechecked_entries_total", ""); checked < 3*scrubStepEntries {
		t.Errorf("%v entries were checked again", checked)
	}
}

// What was seen once is looked at again without a pace: the alarm comes in seconds where two more paced looks would take minutes. A log that was given up on
// is not overdue.
func TestRecheckOfAFaultIsNotPaced(t *testing.T) {
	const log = "agent.events/0"
	r := newRig(t)
	r.cfg.RecheckRate = 100
	l := r.newLog(log, scrubStepEntries-1)
	p := r.start()
	r.awaitCheckpoint(l)
	p.stop()
	r.exec("ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json') WHERE log = '" + log + "' AND seq = 10 SETTINGS mutations_sync = 2")
	p = r.start()
	r.awaitAlarm(p, log, 10, "leaf hash differs")
	if due := p.metric(t, "agentaudit_exporter_recheck_due_seconds", log); due != -1 {
		t.Errorf("due at %v", due)
	}
}
