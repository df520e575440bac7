package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
)

// The process's memory_limit is the Go runtime's before anything is built, and an operator's GOMEMLIMIT stands above it.
func TestMemoryLimitIsApplied(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	percent := debug.SetGCPercent(100)
	defer debug.SetGCPercent(percent)
	f := func(setting string, want int64) {
		t.Helper()
		debug.SetMemoryLimit(before)
		var got int64
		s := spec(freeAddress(t), func(context.Context, Base) (*Process, error) {
			got = debug.SetMemoryLimit(-1)
			return nil, errors.New("enough")
		})
		s.Memory = func(c config.Config) config.ByteSize { return c.Ingest.MemoryLimit }
		Main(s, []string{"--set", setting}, nil, &bytes.Buffer{}, &bytes.Buffer{})
		if got != want {
			t.Errorf("%s: the limit is %d bytes, want %d", setting, got, want)
		}
	}
	t.Setenv("GOMEMLIMIT", "")
	f("ingest.memory_limit=600MiB", 600<<20)
	f("log.level=info", int64(config.DefaultConfig().Ingest.MemoryLimit))
	if got := debug.SetGCPercent(100); got != 400 {
		t.Errorf("garbage is collected at %d percent of what lives", got)
	}
	t.Setenv("GOMEMLIMIT", "1GiB") // the runtime has read the variable when the process began
	f("ingest.memory_limit=600MiB", before)
}

// A topic that loses records is a mistake in the configuration: starting again does not help.
func TestRefusedTopicEndsForGood(t *testing.T) {
	refused := &kafkaio.PolicyError{Topic: "agent.events", Policy: "compact"}
	var stderr bytes.Buffer
	code := Main(spec(freeAddress(t), func(context.Context, Base) (*Process, error) {
		return &Process{Run: func(context.Context) error { return fmt.Errorf("seal: %w", refused) }}, nil
	}), []string{"--set", "log.level=info"}, nil, &bytes.Buffer{}, &stderr)
	if code != ExitFailed || !strings.Contains(stderr.String(), "cleanup.policy=delete") {
		t.Errorf("exit code %d\n%s", code, stderr.String())
	}
}
