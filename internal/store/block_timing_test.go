package store

import (
	"io"
	"syscall"
	"testing"
	"time"
)

// BenchmarkBlock is what a row costs the inserting process beside the network: its
// columns appended, and the block handed out in the form in which it is sent. The rows
// are as warm in the processor's caches as sealing has left them.
func BenchmarkBlock(b *testing.B) {
	const rows, distinct = 10_000, 100
	l := newTestLog(b, "agent.events/0")
	l.open(202611)
	samples := l.samples(distinct)
	block := NewBlock()
	pass := func() {
		block.Reset()
		for i := range rows {
			s := samples[i%distinct]
			s.header.Seq = uint64(i)
			if err := block.Append(&s.row); err != nil {
				b.Fatal(err)
			}
		}
		wire, err := block.finish()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{newBlockBody(wire)}); err != nil {
			b.Fatal(err)
		}
	}
	pass() // grows the buffers
	b.ReportAllocs()
	before := cpuTime(b)
	for b.Loop() {
		pass()
	}
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N*rows), "cpu-ns/row")
	b.ReportMetric(float64(block.count())/rows, "B/row")
}

// cpuTime is the processor time of this process: on a machine that is shared, time on
// the wall says nothing.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
