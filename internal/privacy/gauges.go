package privacy

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// gaugesEvery is how often the vault is asked for what gauges show.
const gaugesEvery = 5 * time.Second

// Gauges shows how many requests there are, and when the first of the open ones is due. While the vault does not answer it shows what it said last.
type Gauges struct {
	vault *vault.Vault
	log   *slog.Logger

	requests, due *prometheus.Desc

	mu     sync.Mutex
	counts []vault.RequestCount
}

// NewGauges registers the gauges.
func NewGauges(v *vault.Vault, registry prometheus.Registerer, log *slog.Logger) (*Gauges, error) {
	g := &Gauges{
		vault: v, log: log,
		requests: prometheus.NewDesc("agentaudit_gdpr_requests", "People's requests in the vault, by kind and status.", []string{"kind", "status"}, nil),
		due:      prometheus.NewDesc("agentaudit_gdpr_earliest_due_seconds", "When the first of the requests is due that are not ended, in Unix seconds. Absent if there is none.", nil, nil),
	}
	return g, registry.Register(g)
}

// Run asks the vault until ctx ends.
func (g *Gauges) Run(ctx context.Context) error {
	failing := false
	for {
		counts, err := g.vault.CountRequests(ctx)
		if err == nil {
			g.mu.Lock()
			g.counts = counts
			g.mu.Unlock()
		} else if !failing && ctx.Err() == nil {
			g.log.Warn("requests cannot be counted, trying again", "error", err)
		}
		failing = err != nil
		if sleepUntil(ctx, time.Now().Add(gaugesEvery)) != nil {
			return nil
		}
	}
}

// Describe implements prometheus.Collector.
func (g *Gauges) Describe(out chan<- *prometheus.Desc) {
	out <- g.requests
	out <- g.due
}

// Collect implements prometheus.Collector. Every kind and status is there from the start.
func (g *Gauges) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	type series struct {
		kind  gdpr.RequestKind
		state gdpr.RequestState
	}
	numbers := map[series]uint64{}
	for _, kind := range []gdpr.RequestKind{gdpr.RequestExport, gdpr.RequestErasure, gdpr.RequestRestriction} {
		for _, state := range gdpr.RequestStates() {
			numbers[series{kind, state}] = 0
		}
	}
	var earliest time.Time
	for _, c := range g.counts {
		numbers[series{c.Kind, c.State}] = c.Requests
		if !c.State.Ended() && (earliest.IsZero() || c.Due.Before(earliest)) {
			earliest = c.Due
		}
	}
	for s, n := range numbers {
		out <- prometheus.MustNewConstMetric(g.requests, prometheus.GaugeValue, float64(n), string(s.kind), string(s.state))
	}
	if !earliest.IsZero() {
		out <- prometheus.MustNewConstMetric(g.due, prometheus.GaugeValue, float64(earliest.UnixMicro())/1e6)
	}
}
