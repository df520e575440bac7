package process

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// A row is named once, however often a process comes upon it, and counted each time; so many rows as somebody likes take no more memory.
func TestForgedRowsAreNamedOnce(t *testing.T) {
	if tell, err := newForgedRows(kafkaio.Deps{}); tell != nil || err != nil {
		t.Errorf("somebody is told: %v", err)
	}
	var text strings.Builder
	registry := prometheus.NewRegistry()
	f := &forgedRows{
		log: slog.New(slog.NewTextHandler(&text, nil)), named: map[vault.ForgedError]struct{}{},
		found: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "found"}, []string{"table"}),
	}
	registry.MustRegister(f.found)
	for range 3 {
		f.tell(&vault.ForgedError{Table: "requests", Row: "1"})
	}
	f.tell(&vault.ForgedError{Table: "holds", Row: "1"})
	if n := strings.Count(text.String(), "level=ERROR"); n != 2 || !strings.Contains(text.String(), "table=holds") {
		t.Errorf("%d lines: %s", n, text.String())
	}
	if got := testutil.ToFloat64(f.found.WithLabelValues("requests")); got != 3 {
		t.Errorf("counted %v", got)
	}
	for i := range 3 * namedRows {
		f.tell(&vault.ForgedError{Table: "outbox", Row: strings.Repeat("x", i)})
	}
	if len(f.named) > namedRows {
		t.Errorf("%d remembered", len(f.named))
	}
}
