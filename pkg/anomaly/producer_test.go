package anomaly

import (
	"slices"
	"strings"
	"testing"
)

// A gap is said once; what is only late is none.
func TestSequenceGap(t *testing.T) {
	f := func(lost bool) int {
		e := testEngine(t, nil)
		seq := uint64(0)
		for n := range 60 {
			o := testEvent(n, 1, int64(n*60))
			o.Producer, o.ProducerSeq = "gateway", seq
			seq++
			if lost && n == 20 {
				seq += 7
			}
			e.Observe(&o)
		}
		count := 0
		for _, in := range closeAll(e) {
			if in.Kind == EntityProducer && in.Signals[0].Name == "gap.sequence" && in.Status == Final {
				count++
			}
		}
		return count
	}
	if n := f(false); n != 0 {
		t.Errorf("%d gaps where there is none", n)
	}
	if n := f(true); n != 1 {
		t.Errorf("%d gaps, 1 expected", n)
	}
}

// A producer that sends events of several tenants numbers them through: no tenant lacks what the others have, and what is lost is said once.
func TestSequenceGapAcrossTenants(t *testing.T) {
	f := func(lost, restart bool) (gaps []Incident) {
		t.Helper()
		e := testEngine(t, nil)
		seq := uint64(0)
		states := map[Key][]byte{}
		for n := range 90 {
			o := testEvent(n, 1, int64(n*40))
			o.Tenant = []string{"umbrella", "acme", "initech"}[n%7%3]
			o.Producer, o.ProducerSeq = "gateway", seq
			seq++
			if lost && n == 30 {
				seq += 7
			}
			e.Observe(&o)
			if restart && n == 45 {
				keep(e, states)
				at := e.ResumeAt(0)
				gaps = append(gaps, e.Take(nil)...)
				e = testEngine(t, nil)
				for key, state := range states {
					if err := e.Restore(key, state); err != nil {
						t.Fatal(err)
					}
				}
				for back := int(at); back <= n; back++ {
					again := testEvent(back, 1, int64(back*40))
					again.Tenant = []string{"umbrella", "acme", "initech"}[back%7%3]
					again.Producer, again.ProducerSeq = "gateway", uint64(back)
					if lost && back > 30 {
						again.ProducerSeq += 7
					}
					e.Observe(&again)
				}
			}
		}
		return append(gaps, closeAll(e)...)
	}
	for _, restart := range []bool{false, true} {
		if gaps := f(false, restart); len(gaps) != 0 {
			t.Errorf("gaps where there is none: %+v", gaps)
		}
		gaps := f(true, restart)
		if len(gaps) != 1 || gaps[0].Tenant != "acme" || gaps[0].Entity != "gateway" || gaps[0].Signals[0].Name != "gap.sequence" ||
			!strings.HasPrefix(gaps[0].Signals[0].Observed, "7 events are missing") {
			t.Errorf("7 lost: %+v", gaps)
		}
	}
}

// After a release the processes of a service have new ids: those before them are not silent, they are no more. Silent is the service, when nobody sends.
func TestSilenceAfterRelease(t *testing.T) {
	e := testEngine(t, nil)
	const before, after = "gateway/018f0000-0000-7000-8000-000000000001", "gateway/018f0000-0000-7000-8000-000000000002"
	n := 0
	for ; n < 5*1440/2; n++ {
		o := testEvent(n, 1, int64(n*120))
		o.Producer, o.ProducerSeq = before, uint64(n)
		if n >= 4*1440/2 {
			o.Producer, o.ProducerSeq = after, uint64(n-4*1440/2)
		}
		e.Observe(&o)
	}
	if got := e.Take(nil); len(got) != 0 {
		t.Errorf("after a release: %+v", got)
	}
	e.Clock(0, testStart+int64(n+30)*120e6)
	if got := e.Take(nil); len(got) != 0 {
		t.Errorf("a process of a day: %+v", got) // nothing is known of it yet
	}
	for ; n < 8*1440/2; n++ {
		o := testEvent(n, 1, int64(n*120))
		o.Producer, o.ProducerSeq = after, uint64(n-4*1440/2)
		e.Observe(&o)
	}
	e.Take(nil)
	e.Clock(0, testStart+int64(n+180)*120e6)
	got := e.Take(nil)
	if len(got) != 1 || got[0].Entity != after || got[0].Signals[0].Name != "silence.producer" {
		t.Errorf("nobody sends: %+v", got)
	}
}

func TestService(t *testing.T) {
	f := func(producer, want string, is bool) {
		t.Helper()
		if got, ok := service(producer); got != want || ok != is {
			t.Errorf("%s: %q, %v", producer, got, ok)
		}
	}
	f("api/018f0000-0000-7000-8000-000000000001", "api", true)
	f("a/b/018F0000-0000-7000-8000-000000000001", "a/b", true)
	f("018f0000-0000-7000-8000-000000000001", "", true)
	f("api", "", false)
	f("api/1", "", false)
	f("api/018f0000000070008000000000000001", "", false)
	f("api/", "", false)
	f("", "", false)
}

func TestSilence(t *testing.T) {
	e := testEngine(t, nil)
	n := 0
	for ; n < 3*1440/2; n++ {
		o := testEvent(n, 1, int64(n*120))
		o.Producer, o.ProducerSeq = "gateway", uint64(n)
		e.Observe(&o)
	}
	e.Take(nil)
	last := testStart + int64(n-1)*120e6
	e.Clock(0, last+19*60e6)
	if got := e.Take(nil); len(got) != 0 {
		t.Errorf("after 14 minutes: %+v", got)
	}
	e.Clock(0, last+30*60e6)
	got := e.Take(nil)
	if len(got) != 1 || got[0].Kind != EntityProducer || got[0].Entity != "gateway" || got[0].Signals[0].Name != "silence.producer" {
		t.Errorf("after half an hour: %+v", got)
	}
}

// Producers that are gone for good leave room for others.
func TestProducersAreForgotten(t *testing.T) {
	e := testEngine(t, func(c *Config) { c.MaxProducers = 3 })
	states := map[Key][]byte{}
	n := 0
	send := func(producer string, minute int) {
		o := testEvent(n, 1, int64(minute*60))
		o.Producer, o.ProducerSeq = producer, uint64(minute)
		e.Observe(&o)
		n++
	}
	const day = 24 * 60
	known := func(want ...string) {
		t.Helper()
		keep(e, states)
		var have []string
		for key := range states {
			if key.Kind == StateKind(EntityProducer) {
				have = append(have, key.Entity)
			}
		}
		slices.Sort(have)
		if !slices.Equal(have, want) || len(e.producers) != len(want) || len(e.numbered) != len(want) || e.counts[kindProducer] != len(want) {
			t.Errorf("%v in states, %d in memory; want %v", have, len(e.producers), want)
		}
	}
	for minute := range 300 { // enough to be expected every day, once some weeks are over
		send("weekly", 7*day/300*minute)
	}
	send("trial", 8*day)
	send("other", 9*day)
	for d := 9; d < 37; d++ {
		send("weekly", d*day+60)
	}
	known("other", "trial", "weekly")
	unwatched := e.Stats().Unwatched
	send("newcomer", 37*day)
	if e.Stats().Unwatched == unwatched {
		t.Error("there is room for one more than there should be")
	}
	send("weekly", 40*day)
	send("weekly", 41*day)
	send("weekly", 42*day)
	known("weekly")
	send("newcomer", 42*day+5)
	send("weekly", 42*day+60)
	known("newcomer", "weekly")
}
