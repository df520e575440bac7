package notify

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/vault"
)

// Results of requests, as labels.
const (
	resultPosted      = "posted"
	resultUpdated     = "updated"
	resultReplied     = "replied"
	resultFound       = "found" // it had been posted although nobody knew
	resultDelivered   = "delivered"
	resultRateLimited = "rate_limited"
	resultUnavailable = "unavailable"
	resultRefused     = "refused"
)

// Results of records of the topic, as labels.
const (
	recordAccepted = "accepted"
	recordRepeated = "repeated" // this revision or a later one was there
	recordRejected = "rejected"
)

// Results of presses of buttons, as labels.
const (
	actionAccepted  = "accepted"
	actionForged    = "forged"
	actionStale     = "stale"
	actionReplayed  = "replayed"
	actionTooLarge  = "too_large"
	actionMalformed = "malformed"
	actionUnknown   = "unknown" // of an incident that is not known any more
	actionFailed    = "failed"
)

type metrics struct {
	slack, webhook, actions, records *prometheus.CounterVec
	latency                          prometheus.Histogram
	first                            string // receiver whose deliveries are timed
	waiting                          *waiting
}

func newMetrics(registry prometheus.Registerer, first string) (*metrics, error) {
	counter := func(opts prometheus.CounterOpts, results ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(opts, []string{"result"})
		for _, result := range results {
			c.WithLabelValues(result) // there from the start, so that rates are right
		}
		return c
	}
	m := &metrics{
		slack: counter(prometheus.CounterOpts{
			Name: "agentaudit_slack_posts_total", Help: "Requests to Slack about messages, by what became of them.",
		}, resultPosted, resultUpdated, resultReplied, resultFound, resultRateLimited, resultUnavailable, resultRefused),
		webhook: counter(prometheus.CounterOpts{
			Name: "agentaudit_webhook_posts_total", Help: "Requests to the webhook, by what became of them.",
		}, resultDelivered, resultRateLimited, resultUnavailable, resultRefused),
		actions: counter(prometheus.CounterOpts{
			Name: "agentaudit_slack_actions_total", Help: "Presses of buttons in Slack, and what pretended to be one, by what became of them.",
		}, actionAccepted, actionForged, actionStale, actionReplayed, actionTooLarge, actionMalformed, actionUnknown, actionFailed),
		records: counter(prometheus.CounterOpts{
			Name: "agentaudit_alert_records_total", Help: "Records of the topic of alerts, by what became of them.",
		}, recordAccepted, recordRepeated, recordRejected),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "agentaudit_alert_latency_seconds",
			Help:    "From the time of the event by which an incident was noticed to the first message of it: in Slack, without Slack at the webhook, without both in the log.",
			Buckets: []float64{.1, .25, .5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600},
		}),
		first:   first,
		waiting: newWaiting(),
	}
	for _, c := range []prometheus.Collector{m.slack, m.webhook, m.actions, m.records, m.latency, m.waiting} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// delivered notes that a receiver was told of an incident for the first time.
func (m *metrics) delivered(receiver string, noticed time.Time) {
	if receiver == m.first {
		m.latency.Observe(max(0, time.Since(noticed).Seconds()))
	}
}

// noteWaiting counts what a receiver is behind with. If the vault does not tell, what was known stands.
func (m *metrics) noteWaiting(ctx context.Context, v *vault.Vault, t *target) {
	n, since, err := v.Waiting(ctx, t.name)
	if err == nil {
		m.waiting.note(t, n, since)
	}
}

// waiting shows how far receivers are behind, as of the moment of asking. Safe for concurrent use.
type waiting struct {
	count, age *prometheus.Desc

	mu      sync.Mutex
	targets map[string]waitingTarget
}

type waitingTarget struct {
	receiver string
	n        int
	since    time.Time
}

func newWaiting() *waiting {
	return &waiting{
		count:   prometheus.NewDesc("agentaudit_alerts_waiting", "Incidents of whose latest revision a receiver was not told yet.", []string{"receiver"}, nil),
		age:     prometheus.NewDesc("agentaudit_alerts_waiting_seconds", "For how long the one has waited that waits for longest; 0: none does.", []string{"receiver"}, nil),
		targets: make(map[string]waitingTarget),
	}
}

func (w *waiting) note(t *target, n int, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets[t.name] = waitingTarget{t.receiver, n, since}
}

// any says whether somebody waited for a target when that was last looked at.
func (w *waiting) any(t *target) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.targets[t.name].n > 0
}

// Describe implements prometheus.Collector.
func (w *waiting) Describe(to chan<- *prometheus.Desc) {
	to <- w.count
	to <- w.age
}

// Collect implements prometheus.Collector.
func (w *waiting) Collect(to chan<- prometheus.Metric) {
	w.mu.Lock()
	defer w.mu.Unlock()
	count, age := map[string]int{}, map[string]float64{}
	for _, t := range w.targets {
		count[t.receiver] += t.n
		if t.n > 0 {
			age[t.receiver] = max(age[t.receiver], time.Since(t.since).Seconds())
		}
	}
	for receiver, n := range count {
		to <- prometheus.MustNewConstMetric(w.count, prometheus.GaugeValue, float64(n), receiver)
		to <- prometheus.MustNewConstMetric(w.age, prometheus.GaugeValue, age[receiver], receiver)
	}
}
