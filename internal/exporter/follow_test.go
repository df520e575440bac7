package exporter

import (
	"context"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

func TestFollowsEveryLog(t *testing.T) {
	r := newRig(t)
	first := r.newLog("agent.events/0", 50)
	p := r.start()
	r.awaitCheckpoint(first)
	second := r.newLog("agent.events/1", 0) // found while running
	for range 5 {
		first.add(30)
		r.awaitCheckpoint(first)
	}
	r.awaitCheckpoint(second)
	testkit.Eventually(t, soon, func() bool { return p.metric(t, "agentaudit_seal_size", "agent.events/0") == float64(first.head.Size) }, "the metric shows the size")
	if age := p.metric(t, "agentaudit_seal_age_seconds", "agent.events/0"); age > 5 {
		t.Errorf("age %v s of a log that is followed", age)
	}
}

// TestCheckpointIsAtMostASecondBehind measures with the default intervals.
func TestCheckpointIsAtMostASecondBehind(t *testing.T) {
	r := newRig(t)
	r.cfg = DefaultConfig()
	r.cfg.CheckPublished = false // there is no Kafka
	l := r.newLog("agent.events/0", 10)
	r.start()
	r.awaitCheckpoint(l)
	for range 3 {
		l.add(100)
		stored := time.Now()
		r.awaitCheckpoint(l)
		if behind := time.Since(stored); behind > 2*time.Second { // the promise is one; machines that run tests are slow
			t.Errorf("checkpoint %v behind", behind)
		}
	}
}

func TestResumesAtTheCheckpoint(t *testing.T) {
	r := newRig(t)
	l := r.newLog("agent.events/0", 50)
	for range 3 {
		p := r.start()
		r.awaitCheckpoint(l)
		p.stop()
		l.add(20)
	}
	r.start()
	r.awaitCheckpoint(l)
}

func TestTwoExporters(t *testing.T) {
	r := newRig(t)
	l := r.newLog("agent.events/0", 1)
	one := r.start()
	r.author = newAuthor(t, "exporter-2")
	two := r.start()
	for range 40 {
		l.add(25)
	}
	r.awaitCheckpoint(l)
	one.stop()
	l.add(25)
	r.awaitCheckpoint(l)
	if len(one.alarms.list())+len(two.alarms.list()) > 0 {
		t.Errorf("alarms %v %v", one.alarms.list(), two.alarms.list())
	}
}

// TestChangedRow changes an entry, with the hash beside it as it was or made to fit, before and behind the checkpoint.
func TestChangedRow(t *testing.T) {
	const log = "agent.events/0"
	const change = `ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json') `
	const fit = `, leaf_hash = SHA256(concat(char(0), replaceOne(entry, 'not JSON', 'not json'))) `
	const sync = ` SETTINGS mutations_sync = 2`
	for _, test := range []struct {
		name, statement string
		behind          bool // the checkpoint covers the row already
		seq             uint64
		reason          string
	}{
		{"before the checkpoint", change + `WHERE log = '` + log + `' AND seq = 10` + sync, true, 10, "leaf hash differs"},
		{"before the checkpoint, hash made to fit", change + fit + `WHERE log = '` + log + `' AND seq = 10` + sync, true, 11, "prev does not match"},
		{"the checkpoint's last", change + `WHERE log = '` + log + `' AND seq = 50` + sync, true, 50, ""},
		{"the checkpoint's last, hash made to fit", change + fit + `WHERE log = '` + log + `' AND seq = 50` + sync, true, 50, ""},
		{"behind the checkpoint", change + `WHERE log = '` + log + `' AND seq = 60` + sync, false, 60, "leaf hash differs"},
		{"behind the checkpoint, hash made to fit", change + fit + `WHERE log = '` + log + `' AND seq = 60` + sync, false, 61, "prev does not match"},
		{"deleted before the checkpoint", `ALTER TABLE {events} DELETE WHERE log = '` + log + `' AND seq = 10` + sync, true, 10, "seq 10 expected, 11 found"},
		{"deleted behind the checkpoint", `ALTER TABLE {events} DELETE WHERE log = '` + log + `' AND seq = 60` + sync, false, 60, "seq 60 expected, 61 found"},
		{"doubled before the checkpoint", `INSERT INTO {events} SELECT * FROM {events} WHERE log = '` + log + `' AND seq = 10`, true, 10, "double"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			l, other := r.newLog(log, 50), r.newLog("agent.events/1", 5)
			p := r.start()
			r.awaitCheckpoint(l)
			if !test.behind {
				p.stop()
				l.add(20)
				r.exec(test.statement)
				p = r.start()
			} else {
				r.exec(test.statement)
			}
			r.awaitAlarm(p, log, test.seq, test.reason)
			if size := r.checkpointSize(log); !test.behind && size != test.seq-1 || test.behind && size != 51 {
				t.Errorf("the checkpoint has %d entries", size)
			}
			l.add(1)
			other.add(10)
			r.awaitCheckpoint(other) // goes on
			if size := r.checkpointSize(log); size > test.seq && size > 51 {
				t.Errorf("a bad log is still followed: %d entries", size)
			}
		})
	}
}

func TestTruncationBelowTheCheckpoint(t *testing.T) {
	const cut = `ALTER TABLE {events} DELETE WHERE log = 'agent.events/0' AND seq >= 40 SETTINGS mutations_sync = 2`
	f := func(name string, act func(r *rig, l *testLog, p *process) *process, seq uint64) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			l := r.newLog("agent.events/0", 50)
			p := r.start()
			r.awaitCheckpoint(l)
			p = act(r, l, p)
			r.awaitAlarm(p, "agent.events/0", seq, "missing")
		})
	}
	f("while running", func(r *rig, _ *testLog, p *process) *process {
		p.stop()
		r.cfg.RecheckEvery = time.Hour // so that it is following that finds it
		p = r.start()
		testkit.Eventually(r.t, soon, func() bool { return p.metric(r.t, "agentaudit_exporter_checked_entries_total", "") == 51 }, "the first recheck is done")
		r.exec(cut)
		return p
	}, 50)
	f("while stopped", func(r *rig, _ *testLog, p *process) *process {
		p.stop()
		r.exec(cut)
		return r.start()
	}, 50)
	f("all of it", func(r *rig, _ *testLog, p *process) *process {
		p.stop()
		r.exec(`ALTER TABLE {events} DELETE WHERE log = 'agent.events/0' SETTINGS mutations_sync = 2`)
		return r.start()
	}, 50)
}

// TestForeignCheckpoint: the vault names a head that the store does not have, as after a restore of either.
func TestForeignCheckpoint(t *testing.T) {
	f := func(name string, checkpoint vault.Checkpoint, seq uint64, reason string) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.newLog("agent.events/0", 50)
			checkpoint.Log, checkpoint.At = "agent.events/0", time.Now()
			if _, err := r.vault.CompareAndSwapCheckpoint(t.Context(), checkpoint.Log, 0, checkpoint); err != nil {
				t.Fatal(err)
			}
			r.awaitAlarm(r.start(), checkpoint.Log, seq, reason)
		})
	}
	f("another leaf", vault.Checkpoint{Size: 20, Head: chain.Hash{1}}, 19, "not the entry of the vault's checkpoint")
	f("beyond the log", vault.Checkpoint{Size: 80, Head: chain.Hash{1}}, 79, "missing")
}

func TestAFailedStepBeginsAtTheCheckpoint(t *testing.T) {
	r := newRig(t)
	l := r.newLog("agent.events/0", 10)
	p := r.start()
	r.awaitCheckpoint(l)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// A step that fails leaves the follower where the vault's checkpoint is.
	follower := &follower{exporter: p.Exporter, log: l.head.Log, caughtUp: make(chan struct{})}
	if _, err := follower.step(ctx); err == nil {
		t.Error("a step without time succeeds")
	}
	if _, err := follower.step(context.Background()); err != nil {
		t.Error(err)
	}
	if follower.sealed.Size != l.head.Size {
		t.Errorf("starts at %d entries", follower.sealed.Size)
	}
}
