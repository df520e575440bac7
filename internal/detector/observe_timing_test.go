package detector

import (
	"context"
	"log/slog"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/sample"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/anomaly/rules"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// BenchmarkPath is an event of 470 bytes on its whole way through the detector but for Kafka: parsed, its user known, its text scanned, the rules asked, given to
// the engine, minutes closed; by an observer and an engine as they are run, in one goroutine. events/cpu-s counts the processor time of the whole process, so
// that of the garbage collector too.
func BenchmarkPath(b *testing.B) {
	// Seven minutes of event time are past before the clock runs: minutes are closed five behind.
	const users, perBatch, warmUp = 10_000, 4096, 7 * 60_000 / 4096
	keys, err := vault.CreateKeyring(b.Context(), vault.KeyConfig{Source: "file:" + filepath.Join(b.TempDir(), "keyring")})
	if err != nil {
		b.Fatal(err)
	}
	store, err := vault.Open(b.Context(), vault.Config{Driver: vault.DriverSQLite, DSN: filepath.Join(b.TempDir(), "vault.db"), Deployment: "audit.example.com"}, keys)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	cache, err := vault.NewCache(store, vault.CacheConfig{MaxSubjects: 2 * users})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- cache.Run(ctx) }() // ends with ctx
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	scanner, err := scan.New(scan.Options{})
	if err != nil {
		b.Fatal(err)
	}
	book, err := rules.NewReloader("", func(*rules.Set) {}, func(error) {})
	if err != nil {
		b.Fatal(err)
	}
	d, err := New(DefaultConfig(), Deps{Vault: store, Scanner: scanner, Rules: book, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	cfg := d.cfg.Engine
	cfg.Rules = book.ForEngine()
	engine, err := anomaly.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	engine.Partitions([]int32{0})
	o := d.newObserver(0, cache)
	now := time.Now()
	source, err := sample.NewBench(1, users, now.Add(-time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	seen := &batch{}
	var offset int64
	var taken []anomaly.Incident
	records := make([]kafkaio.Record, perBatch)
	// An event each millisecond, so a minute is closed every 60,000.
	render := func() {
		for i := range records {
			records[i].Offset, records[i].TimeMillis = offset, now.Add(-time.Hour).UnixMilli()+offset
			records[i].Value = source.AppendJSON(records[i].Value[:0])
			offset++
		}
	}
	observe := func() {
		if err := o.observe(ctx, records, seen); err != nil {
			b.Fatal(err)
		}
		if seen.rejected > 0 {
			b.Fatal("events were rejected")
		}
		engine.ObserveAll(seen.observations)
		taken = engine.Take(taken[:0])
	}
	for range warmUp { // all users are known, and minutes are closed
		render()
		observe()
	}
	b.ReportAllocs()
	b.ResetTimer()
	var used time.Duration
	for done := 0; done < b.N; done += perBatch {
		b.StopTimer()
		render()
		if left := b.N - done; left < perBatch {
			records = records[:left]
		}
		b.StartTimer()
		before := processTime(b)
		observe()
		used += processTime(b) - before
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/used.Seconds(), "events/cpu-s")
	b.ReportMetric(float64(len(records[0].Value)), "event-B")
}

// processTime is the processor time that this process has used, all threads, user and system.
func processTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
