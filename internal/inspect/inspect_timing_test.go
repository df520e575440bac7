package inspect

import (
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/sample"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// BenchmarkInspect is an event of the sample traffic, parsed before: most are without anything to find, many without any text; content-B is
// what they have of it on average.
func BenchmarkInspect(b *testing.B) {
	cfg := sample.DefaultConfig()
	cfg.Start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	generator, err := sample.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	parser := events.NewParser()
	var record events.Record
	const ahead = 4096
	all := make([]events.Event, ahead)
	bytes := 0
	for i := range all {
		generator.Next(&record)
		value, err := record.MarshalJSON()
		if err != nil {
			b.Fatal(err)
		}
		if err := parser.Parse(value, &all[i]); err != nil {
			b.Fatal(err)
		}
		bytes += len(all[i].Raw(events.FieldContentInput)) + len(all[i].Raw(events.FieldContentOutput))
	}
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		b.Fatal(err)
	}
	in := New(scanner)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		in.Inspect(&all[i%ahead])
		i++
	}
	b.ReportMetric(float64(bytes)/ahead, "content-B")
}
