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

// stepBenchmarks are the benchmarks beside the code that make up the way of an event, and that of an auditor.
var stepBenchmarks = []struct{ pkg, pattern string }{
	{"./pkg/events", "Parse"},
	{"./pkg/gdpr", "Seal"},
	{"./internal/vault", "Cache"},
	{"./internal/ingest", "Seal"},
	{"./internal/store", "Block"},
	{"./internal/kafkaio", "Follow"},
	{"./pkg/chain", "Tree"},
	{"./internal/offline", "Check"},
}

// steps runs them one after the other and adds what they print.
func steps(ctx context.Context, t *table) error {
	for _, b := range stepBenchmarks {
		fmt.Fprintf(os.Stderr, "benchmarks of %s …\n", b.pkg)
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", b.pattern, "-benchmem", "-benchtime", "1s", b.pkg)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("benchmarks of %s: %w\n%s", b.pkg, err, out)
		}
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			name, figures, found := strings.Cut(lines.Text(), "\t")
			if found && strings.HasPrefix(name, "Benchmark") {
				fields := strings.Split(figures, "\t")
				for i := range fields {
					fields[i] = strings.Join(strings.Fields(fields[i]), " ")
				}
				t.add(strings.TrimPrefix(b.pkg, "./")+" "+strings.TrimPrefix(strings.TrimSpace(name), "Benchmark"), fields[1], strings.Join(fields[2:], ", "))
			}
		}
	}
	return nil
}
