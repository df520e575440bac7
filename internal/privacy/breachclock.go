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

// BreachClock shows when the authority must have been told of open breaches, as a metric.
type BreachClock struct {
	vault *vault.Vault
	log   *slog.Logger
	due   *prometheus.Desc

	mu   sync.Mutex
	open []vault.BreachDeadline // as the vault last said: twenty at most, and so are the values of the label
}

// NewBreachClock returns a BreachClock whose metric is registered.
func NewBreachClock(v *vault.Vault, metrics prometheus.Registerer, log *slog.Logger) (*BreachClock, error) {
	// The time itself, and not what is left of it, which would stand still with whoever shows it.
	c := &BreachClock{vault: v, log: log, due: prometheus.NewDesc("agentaudit_gdpr_breach_deadline_seconds",
		"When the authority must have been told of an open breach, in seconds since 1970; only of breaches of which it was not told.", []string{"breach"}, nil)}
	return c, metrics.Register(c)
}

// Describe implements prometheus.Collector.
func (c *BreachClock) Describe(to chan<- *prometheus.Desc) { to <- c.due }

// Collect implements prometheus.Collector.
func (c *BreachClock) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.open {
		to <- prometheus.MustNewConstMetric(c.due, prometheus.GaugeValue, float64(b.Due.Unix()), gdpr.SubjectID(b.ID).String())
	}
}

// watchEvery is how often the vault is asked. Deadlines are days away.
const watchEvery = 2 * time.Second

// Run follows the vault until ctx ends. While the vault is away what it said last is shown.
func (c *BreachClock) Run(ctx context.Context) error {
	for {
		open, err := c.vault.BreachDeadlines(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			c.log.Warn("the deadlines of breaches cannot be read, trying again", "error", err)
		default:
			c.mu.Lock()
			c.open = open
			c.mu.Unlock()
		}
		if sleepUntil(ctx, time.Now().Add(watchEvery)) != nil {
			return nil
		}
	}
}
