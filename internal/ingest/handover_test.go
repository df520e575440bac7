package ingest

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Of each partition one process says how far behind it is: the one that has it.
func TestLagIsTheOwners(t *testing.T) {
	const partitions = 4
	const logs = partitions + 1 // that of the system topic
	r := newRig(t, testkit.EmbeddedKafka(t).Address, partitions)
	a, stopA := r.start()
	r.produce(someEvents(100)...)
	r.awaitSealed(partitions)
	testkit.Eventually(t, 10*time.Second, func() bool { return testutil.CollectAndCount(a.metrics.lag) == logs }, "the lag of all logs is there")
	b, _ := r.start()
	testkit.Eventually(t, time.Minute, func() bool {
		r.produce(someEvents(20)...)
		ofA, ofB := testutil.CollectAndCount(a.metrics.lag), testutil.CollectAndCount(b.metrics.lag)
		// Of the system topic nothing comes, so its log has none once it was assigned anew.
		return ofA > 0 && ofB > 0 && ofA+ofB == partitions
	}, "each partition's lag is there once")
	stopA()
	if n := testutil.CollectAndCount(a.metrics.lag); n != 0 {
		t.Errorf("a process that has ended shows the lag of %d partitions", n)
	}
}

// A batch whose outcome is unknown when the process is told to end is waited for, but not for ever; what became of it
// is found out by the next start.
func TestBatchOnItsWayGetsAMoment(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	direct := r.store
	proxy, through := testkit.ProxyTo(t, r.server.URL)
	cfg := store.DefaultConfig()
	cfg.Addresses, cfg.Database, cfg.User, cfg.Password = []string{through}, r.server.Database, r.server.User, r.server.Password
	var err error
	if r.store, err = store.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	defer r.store.Close()
	_, stop := r.start()
	r.produce(event(1))
	r.awaitSealed(1)
	log := chain.LogName(r.cfg.EventsTopic, 0, 0)
	before, err := direct.Head(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	proxy.BlackHole(testkit.ToClient)
	r.produce(event(2), event(3))
	testkit.Eventually(t, 20*time.Second, func() bool {
		head, err := direct.Head(t.Context(), log)
		return err == nil && head.Size > before.Size
	}, "the batch is stored, and ingest does not know")
	began := time.Now()
	stop()
	if took := time.Since(began); took < landingTime/2 || took > landingTime+4*time.Second {
		t.Errorf("ending took %v, want about %v", took, landingTime)
	}
	proxy.Heal()
	r.store = direct
	r.start()
	r.produce(event(4))
	r.awaitSealed(1)
	if c := r.check(log); len(c.offsets) != 4 {
		t.Errorf("the log holds offsets %v", c.offsets)
	}
}
