package exporter

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// BenchmarkRecheck shows what re-checking costs of a processor, in this process and in ClickHouse, at the default rate: the sum of both is the share of one
// core that a deployment of two gives away all the time.
func BenchmarkRecheck(b *testing.B) {
	engine := testkit.EmbeddedClickHouse(b)
	b.Setenv("AGENTAUDIT_TEST_CLICKHOUSE", engine.URL)
	b.Setenv("AGENTAUDIT_TEST_CLICKHOUSE_USER", engine.User)
	b.Setenv("AGENTAUDIT_TEST_CLICKHOUSE_PASSWORD", engine.Password)
	r := newRig(b)
	l := r.newLog("agent.events/0", 0)
	for range 50 {
		l.add(20_000)
	}
	p := r.start()
	r.awaitCheckpoint(l)
	p.stop()
	checkpoint, _, err := r.vault.Checkpoint(b.Context(), l.head.Log)
	if err != nil {
		b.Fatal(err)
	}
	settle(b, engine.Pid())
	pass := func(b *testing.B, perSecond int, speed func(log string, size uint64) pace) {
		ours, theirs, began := processorTime(b), childTime(b, engine.Pid()), time.Now()
		entries := 0
		for b.Loop() {
			if err := p.checkWhole(context.Background(), checkpoint, scrubStep(perSecond), speed(l.head.Log, checkpoint.Size)); err != nil {
				b.Fatal(err)
			}
			entries += int(checkpoint.Size)
		}
		elapsed := time.Since(began).Seconds()
		ours, theirs = processorTime(b)-ours, childTime(b, engine.Pid())-theirs
		b.ReportMetric(float64(entries)/elapsed, "entries/s")
		b.ReportMetric(100*ours.Seconds()/elapsed, "%core-ours")
		b.ReportMetric(100*theirs.Seconds()/elapsed, "%core-engine")
		b.ReportMetric(float64(ours.Nanoseconds())/float64(entries), "cpu-ns/entry-ours")
		b.ReportMetric(float64(theirs.Nanoseconds())/float64(entries), "cpu-ns/entry-engine")
	}
	b.Run("unpaced", func(b *testing.B) { pass(b, stepEntries, unpaced) })
	for _, perSecond := range []int{DefaultConfig().RecheckRate, 100_000} {
		b.Run(strconv.Itoa(perSecond), func(b *testing.B) {
			cfg := DefaultConfig()
			cfg.RecheckRate = perSecond
			s := newScrubs(&cfg, func() uint64 { return checkpoint.Size })
			s.limiter.AllowN(time.Now(), int(scrubStep(perSecond))) // the first step would be free
			pass(b, perSecond, s.paced)
		})
	}
	b.Run("idle", func(b *testing.B) { // what the engine uses when nobody asks it
		theirs, began := childTime(b, engine.Pid()), time.Now()
		for b.Loop() {
			time.Sleep(5 * time.Second)
		}
		b.ReportMetric(100*(childTime(b, engine.Pid())-theirs).Seconds()/time.Since(began).Seconds(), "%core-engine")
	})
}

// settle waits until the engine has merged what was inserted.
func settle(b *testing.B, pid int) {
	b.Helper()
	last, since := childTime(b, pid), time.Now()
	testkit.Eventually(b, 2*time.Minute, func() bool {
		if time.Since(since) < 2*time.Second {
			return false
		}
		now := childTime(b, pid)
		quiet := now-last < 200*time.Millisecond
		last, since = now, time.Now()
		return quiet
	}, "the engine is quiet")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// childTime is the processor time of another process: fields 14 and 15 of its stat (proc(5)), in hundredths of a second.
func childTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		b.Skipf("processor time of the engine: %v", err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
