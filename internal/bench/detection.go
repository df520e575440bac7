package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// detectionBenchmarks are the benchmarks beside the code whose figures detection is held to. unit is of the figure that counts; each runs on one core.
var detectionBenchmarks = []struct{ what, pkg, pattern, benchtime, unit, wanted string }{
	{"a benign text of 500 bytes scanned", "./pkg/scan", "^BenchmarkScan$/^benign$", "1s", "ns/op", "at most 10000 is wanted"},
	{"one with an injection scanned", "./pkg/scan", "^BenchmarkScan$/^injection$", "1s", "ns/op", ""},
	{"the contents of an event of the sample traffic scanned", "./internal/inspect", "^BenchmarkInspect$", "1s", "ns/op", ""},
	{"engine alone, simulated traffic", "./internal/simulate", "^BenchmarkEngine$", "2s", "events/s", "minutes closed included"},
	{"detector without Kafka, events of 470 bytes", "./internal/detector", "^BenchmarkPath$", "2s", "events/cpu-s", "by processor time; at least 200000 is wanted"},
	{"live heap of a user, 1,000,000 users", "./pkg/anomaly", "^BenchmarkStatePerUser$", "1x", "B/user", "at most 2048 is wanted"},
}

// detection runs them one after the other and adds each figure beside what is wanted of it.
func detection(ctx context.Context, t *table) error {
	before := speed()
	t.add("detection", "", "one core; load "+load())
	for _, b := range detectionBenchmarks {
		fmt.Fprintf(os.Stderr, "%s …\n", b.what)
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", b.pattern, "-benchmem", "-benchtime", b.benchtime, "-cpu", "1", "-timeout", "5m", b.pkg)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("benchmark %s of %s: %w\n%s", b.pattern, b.pkg, err, out)
		}
		figure, found := benchmarkFigure(out, b.unit)
		if !found {
			return fmt.Errorf("benchmark %s of %s: no figure in %s:\n%s", b.pattern, b.pkg, b.unit, out)
		}
		t.add("  "+b.what, figure, b.wanted)
	}
	t.add("", "", speedNote(before, speed()))
	return nil
}

// benchmarkFigure finds a figure in what a benchmark printed, with its unit.
func benchmarkFigure(out []byte, unit string) (string, bool) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		name, figures, found := strings.Cut(lines.Text(), "\t")
		if !found || !strings.HasPrefix(name, "Benchmark") {
			continue
		}
		for figure := range strings.SplitSeq(figures, "\t") {
			if fields := strings.Fields(figure); len(fields) == 2 && fields[1] == unit {
				return strings.Join(fields, " "), true
			}
		}
	}
	return "", false
}
