package store

import (
	"context"
	"io"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// BenchmarkScan compares Scan with the raw scan of the same columns, which is read from
// the server and thrown away. Processor time is that of this process alone.
func BenchmarkScan(b *testing.B) {
	const rows = 100_000
	s := newStore(b)
	ctx := context.Background()
	l := newTestLog(b, "agent.events/0")
	w := openWriter(b, s, l.head.Log)
	block := NewBlock()
	insert(b, w, fill(b, block, l.open(202611)))
	for l.head.Size < rows {
		insert(b, w, fill(b, block, l.samples(10_000)...))
	}
	measure := func(b *testing.B, pass func() error) {
		before := cpuTime(b)
		for b.Loop() {
			if err := pass(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N*rows), "cpu-ns/row")
		b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
	}
	b.Run("raw", func(b *testing.B) {
		measure(b, func() error {
			resp, err := s.servers[0].ask(ctx, "SELECT seq, entry, leaf_hash FROM "+s.events+" FORMAT Native", params{})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
	})
	b.Run("Scan", func(b *testing.B) {
		measure(b, func() error {
			return s.Scan(ctx, l.head.Log, 0, func(uint64, []byte, chain.Hash) error { return nil })
		})
	})
	b.Run("ScanLinks", func(b *testing.B) {
		measure(b, func() error {
			return s.ScanLinks(ctx, l.head.Log, 0, func(*Scanned) error { return nil })
		})
	})
	b.Run("ScanDeep", func(b *testing.B) {
		measure(b, func() error {
			return s.ScanDeep(ctx, l.head.Log, 0, func(*Stored) error { return nil })
		})
	})
}
