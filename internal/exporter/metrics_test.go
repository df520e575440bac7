package exporter

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestAge: the age of a checkpoint grows exactly while nobody knows that it covers all entries.
func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &process{registry: prometheus.NewRegistry()}
		m, err := newMetrics(new(DefaultConfig()), p.registry)
		if err != nil {
			t.Fatal(err)
		}
		const log = "agent.events/0"
		f := func(what string, age, size float64) {
			t.Helper()
			if got := p.metric(t, "agentaudit_seal_age_seconds", log); got != age {
				t.Errorf("%s: age %v s, want %v", what, got, age)
			}
			if got := p.metric(t, "agentaudit_seal_size", log); got != size {
				t.Errorf("%s: size %v, want %v", what, got, size)
			}
		}
		m.seals.found(log)
		time.Sleep(3 * time.Second)
		m.seals.moved(log, 10)
		f("not caught up yet", 3, 10)
		m.seals.covered(log, 20)
		time.Sleep(2 * time.Second)
		f("not looked at since", 2, 20)
		m.seals.unchanged()
		f("idle", 0, 20)
		m.seals.changed()
		time.Sleep(time.Second)
		m.seals.unchanged()
		f("new entries that were not checked yet", 1, 20)
		m.seals.covered(log, 30)
		m.seals.behind(log)
		time.Sleep(5 * time.Second)
		m.seals.unchanged()
		f("found bad", 5, 30)
	})
}
