package archive

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/testkit/deployment"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

// BenchmarkWrite writes the archive of a person with so many events, one in ten entries of the log being somebody else's: go test -bench Write -benchtime 1x.
// Memory is what the heap has at its most, looked at every 10 ms, beyond what it had before.
func BenchmarkWrite(b *testing.B) {
	for _, events := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) { benchmarkWrite(b, events) })
	}
}

func benchmarkWrite(b *testing.B, events int) {
	d := deployment.New(b)
	d.Ingest.Linger = 100 * time.Millisecond
	stopIngest, stopExporter := d.StartIngest(), d.StartExporter()
	produce(b, d, events)
	log := chain.LogName(d.Ingest.EventsTopic, 0, 0)
	testkit.Eventually(b, 10*time.Minute, func() bool {
		point, found, err := d.Vault.Checkpoint(context.Background(), log)
		return err == nil && found && point.Size > uint64(events+events/9)
	}, "everything is sealed and signed")
	stopIngest()
	stopExporter()
	mia := vault.Identity{Tenant: "acme", User: "mia"}
	subject, found, err := d.Vault.Find(b.Context(), mia)
	if err != nil || !found {
		b.Fatal(found, err)
	}
	for b.Loop() {
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		peak, stop := watchHeap()
		out := &counter{}
		began := time.Now()
		summary, err := Write(b.Context(), Deps{Store: d.Store, Vault: d.Vault, Keys: d.Keys}, Order{
			Subject: subject.ID, Who: mia, At: time.Now(), Scratch: b.TempDir(), Progress: func(context.Context, uint64, uint64) error { return nil },
		}, out)
		took := time.Since(began)
		stop()
		if err != nil || summary.Events != uint64(events) {
			b.Fatalf("%+v, %v", summary, err)
		}
		b.ReportMetric(float64(events)/took.Seconds(), "events/s")
		b.ReportMetric(float64(peak.Load()-before.HeapInuse)/(1<<20), "MiB-heap")
		b.ReportMetric(float64(out.n)/float64(events), "bytes/event")
	}
}

func produce(b *testing.B, d *deployment.Deployment, events int) {
	var batch []kafkaio.Message
	for i := range events + events/9 {
		user := "mia"
		if i%10 == 9 {
			user = "noah"
		}
		batch = append(batch, kafkaio.Message{Value: fmt.Appendf(nil,
			`{"schema":"agentaudit.event/v1","event_id":"%s","time":"2026-11-20T21:14:05.%06dZ","type":"tool.call","action":"search","outcome":"success","tenant":"acme","user_id":"%s",`+
				`"agent":{"id":"bot-7","name":"helper"},"session_id":"s-%d","tool":{"name":"crm.search"},"content":{"input":"who has bought number %d, and when?","output":"nobody has"}}`,
			uuid.New(), i%1_000_000, user, i/50, i)})
		if len(batch) == 1000 || i == events+events/9-1 {
			if err := d.Kafka.Produce(b.Context(), d.Ingest.EventsTopic, batch); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
}

// watchHeap keeps the most that the heap has until stop is called.
func watchHeap() (peak *atomic.Uint64, stop func()) {
	peak = &atomic.Uint64{}
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapInuse))
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	}()
	return peak, func() { close(quit); <-ended }
}

type counter struct{ n int64 }

var _ io.Writer = (*counter)(nil)

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
