package events_test

import (
	"context"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// BenchmarkEmit sends events to the embedded broker, in another process, and waits
// for its acknowledgements.
func BenchmarkEmit(b *testing.B) {
	addr := testkit.EmbeddedKafka(b).Address
	cfg := config(addr, testkit.Topic(b, addr, testPartitions))
	cfg.WhenFull = events.WaitWhenFull
	e, err := events.NewEmitter(cfg, events.EmitterDeps{})
	if err != nil {
		b.Fatal(err)
	}
	r := benchRecord()
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Emit(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkEmitToSpool writes events to the spool while Kafka is away.
func BenchmarkEmitToSpool(b *testing.B) {
	cfg := withSpool(config("127.0.0.1:1", "agent.events"), b.TempDir())
	cfg.SpoolMaxBytes = 64 << 30
	e, err := events.NewEmitter(cfg, events.EmitterDeps{})
	if err != nil {
		b.Fatal(err)
	}
	r := benchRecord()
	if err := e.EmitSync(context.Background(), r); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Emit(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
	if err := e.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// benchRecord is an event of about 470 bytes.
func benchRecord() *events.Record {
	r := numbered("renata.brandt@lumen.example", 1)
	r.Agent.ID = "support-agent"
	r.SessionID = "s-1652b66f5ab8"
	r.Content.Input = events.Text("The parcel was scanned in Rotterdam yesterday evening and should be at the door soon.")
	return r
}
