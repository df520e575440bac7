package exporter

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// noAlarm fails if a good log was called bad.
func noAlarm(t *testing.T, l *testLog, processes ...*process) {
	t.Helper()
	for _, p := range processes {
		for _, a := range p.alarms.list() {
			if a.Log == l.head.Log {
				t.Errorf("an alarm for a good log: %+v", a)
			}
		}
	}
}

// Every step, every outcome. One log is good; of the other an entry behind the checkpoint was changed, with the hash beside it made to fit.
func TestFaults(t *testing.T) {
	broker := anyBroker(t)
	reads := []outcome{lost, killedBefore}
	writes := []outcome{lost, done, late, last, killedBefore, killedAfter}
	for _, row := range []struct {
		step     step
		outcomes []outcome
	}{
		{readCheckpoint, reads},
		{readHead, reads},
		{loadTiles, reads},
		{scanEntries, []outcome{lost, half, done, killedBefore, killedAfter}},
		{signing, []outcome{lost, killedBefore, killedAfter}},
		{stagingTiles, writes},
		{swapping, writes},
		{publishing, writes},
		{replacingNote, writes},
	} {
		for _, o := range row.outcomes {
			t.Run(string(row.step)+" "+string(o), func(t *testing.T) { faultAt(t, broker, row.step, o) })
		}
	}
}

const changedSeq = 400

func faultAt(t *testing.T, broker string, at step, o outcome) {
	r := newRig(t)
	r.useKafka(broker)
	r.cfg.PublicTiles = true
	good, bad := r.newLog("agent.events/0", 300), r.newLog("agent.events/1", 300)
	w := newWeather(r)
	first := r.start()
	r.awaitCheckpoint(good)
	r.awaitCheckpoint(bad)
	first.stop()

	replaces := at == replacingNote
	if replaces {
		r.newKey() // which signs what is there, as long as nothing new is
	} else {
		good.add(300)
		bad.add(300)
		r.exec(fmt.Sprintf("ALTER TABLE {events} UPDATE entry = replaceOne(entry, 'not JSON', 'not json'), "+
			"leaf_hash = SHA256(concat(char(0), replaceOne(entry, 'not JSON', 'not json'))) WHERE log = '%s' AND seq = %d SETTINGS mutations_sync = 2", bad.head.Log, changedSeq))
	}
	kill := o == killedBefore || o == killedAfter
	times := 2
	if kill {
		times = 1
	}
	met := 0 // under w.mu
	w.set(func(s step, _ string) outcome {
		if s != at || met == times {
			return fine
		}
		met++
		return o
	})
	second := r.start()
	testkit.Eventually(t, soon, func() bool { return w.count() == times }, "the step is reached")
	last := second
	if kill {
		second.stop()
		last = r.start()
	}
	if !replaces {
		testkit.Eventually(t, soon, func() bool { return len(last.alarms.list()) > 0 }, "the changed entry is found")
	}
	r.awaitCheckpoint(good)
	good.add(300) // beyond what any late call says
	r.awaitCheckpoint(good)
	before := r.checkpointSize(good.head.Log)
	w.clear()
	if size := r.checkpointSize(good.head.Log); size < before {
		t.Errorf("the checkpoint went back from %d to %d", before, size)
	}
	w.checkGood(last, good)
	noAlarm(t, good, first, second, last)
	if size := r.checkpointSize(bad.head.Log); size > changedSeq {
		t.Errorf("the changed entry %d is covered: the checkpoint has %d entries", changedSeq, size)
	}
	last.stop()
	w.check(good, bad)
}

// A gap that is seen twice passes; seen three times it is a fault of the log.
func TestFaultsOfTheTable(t *testing.T) {
	broker := anyBroker(t)
	f := func(times int, check func(r *rig, w *weather, p *process, l *testLog)) {
		t.Run(fmt.Sprintf("%d times", times), func(t *testing.T) {
			r := newRig(t)
			r.useKafka(broker)
			l := r.newLog("agent.events/0", 300)
			w := newWeather(r)
			met := 0
			w.set(func(s step, _ string) outcome {
				if s != scanEntries || met == times {
					return fine
				}
				met++
				return gap
			})
			p := r.start()
			testkit.Eventually(t, soon, func() bool { return w.count() == times }, "the gap is seen")
			check(r, w, p, l)
			p.stop()
			w.check(l)
		})
	}
	f(faultLooks-1, func(r *rig, w *weather, p *process, l *testLog) {
		w.checkGood(p, l)
		noAlarm(r.t.(*testing.T), l, p)
	})
	f(faultLooks, func(r *rig, _ *weather, p *process, l *testLog) {
		r.awaitAlarm(p, l.head.Log, gapSeq, "seq 50 expected, 51 found")
		if size := r.checkpointSize(l.head.Log); size != gapSeq-1 { // the entry before a bad link is not vouched for either
			r.t.Errorf("the checkpoint has %d entries", size)
		}
	})
}

// Two exporters and all faults at random steps, on a vault in PostgreSQL where there is one, with connections that are cut besides.
func TestFaultsAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	r := newRig(t)
	r.useKafka(anyBroker(t))
	r.cfg.PublicTiles = true
	clickhouse, through := testkit.ProxyTo(t, r.server.URL)
	direct := r.store
	r.store = r.openStore(through)
	cut := []*testkit.Proxy{clickhouse}
	if os.Getenv("AGENTAUDIT_TEST_POSTGRES") != "" {
		proxy := r.usePostgres()
		cut = append(cut, proxy)
	}
	w := newWeather(r)
	proxied := r.store
	r.store = direct // what writes the logs is not harmed
	logs := make([]*testLog, 6)
	for i := range logs {
		logs[i] = r.newLog(fmt.Sprintf("agent.events/%d", i), dice.IntN(300))
	}
	r.store = proxied

	outcomes := []outcome{lost, done, late, last, half, killedBefore, killedAfter}
	w.set(func(s step, _ string) outcome { // one at a time, under w.mu
		if dice.IntN(12) > 0 {
			return fine
		}
		o := outcomes[dice.IntN(len(outcomes))]
		if o == half && s != scanEntries || (o == killedBefore || o == killedAfter) && dice.IntN(8) > 0 { // a start takes longer than a call
			return lost
		}
		return o
	})
	var all []*process
	running := make([]*process, 2)
	start := func(i int) {
		r.author = newAuthor(t, fmt.Sprintf("exporter-%d", len(all)))
		running[i] = r.start()
		all = append(all, running[i])
	}
	start(0)
	start(1)
	restart := func() {
		for i, p := range running {
			if p.killed() {
				p.stop()
				start(i)
			}
		}
	}
	writer := rand.New(rand.NewPCG(seed, 1))
	const wanted = 300
	deadline := time.Now().Add(time.Minute)
	for w.count() < wanted && time.Now().Before(deadline) {
		logs[writer.IntN(len(logs))].add(1 + writer.IntN(120))
		if writer.IntN(4) == 0 {
			cut[writer.IntN(len(cut))].Cut()
		}
		faults := w.count()
		testkit.Eventually(t, soon, func() bool { // so that writing does not run ahead
			restart()
			return w.count() > faults
		}, "one more fault")
	}
	w.clear()
	restart()
	r.store = direct
	for _, l := range logs {
		w.checkGood(running[0], l)
		noAlarm(t, l, all...)
	}
	running[0].stop()
	for _, l := range logs { // the other one goes on by itself, also where it always came second
		l.add(5)
		w.checkGood(running[1], l)
		noAlarm(t, l, all...)
	}
	running[1].stop()
	w.check(logs...)
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d faults, %d exporters, %d checkpoints were visible", w.faults, len(all), len(w.seen))
	if w.faults < 100 {
		t.Errorf("%d faults only", w.faults)
	}
}
