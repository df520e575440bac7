package simulate

import (
	"testing"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// BenchmarkEngine is the engine on three days of the world's traffic, closing of minutes included. An operation is an event.
func BenchmarkEngine(b *testing.B) {
	w, err := New(Config{Seed: 1, Users: 1000, Tenants: 4, Days: 3})
	if err != nil {
		b.Fatal(err)
	}
	var all []anomaly.Observation
	for d := range w.Days() {
		all = append(all, w.Day(d)...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var engine *anomaly.Engine
	var taken []anomaly.Incident
	for i := range b.N {
		if i%len(all) == 0 { // the same days anew, for somebody who knows nobody yet
			if engine, err = anomaly.New(anomaly.DefaultConfig()); err != nil {
				b.Fatal(err)
			}
			engine.Partitions(Partitions())
		}
		engine.Observe(&all[i%len(all)])
		if i%1024 == 0 {
			taken = engine.Take(taken[:0])
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
