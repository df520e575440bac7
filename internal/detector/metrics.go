package detector

import (
	"bytes"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
	"github.com/agentaudit/agentaudit/pkg/events"
)

type metrics struct {
	events    *prometheus.CounterVec // family, outcome
	rejected  prometheus.Counter
	skipped   prometheus.Counter
	refused   prometheus.Counter
	waits     prometheus.Counter
	unwatched prometheus.Counter
	troubles  [2]prometheus.CounterFunc
	lag       *prometheus.GaugeVec // partition
	held      *prometheus.GaugeVec // partition
	active    prometheus.Gauge
	subjects  prometheus.Gauge
	alerts    *prometheus.CounterVec // severity

	families [len(families)][events.Pending + 1]prometheus.Counter
}

// newMetrics registers the detector's metrics. troubles returns how often conditions of rules could not be told, and how often they were cut off.
func newMetrics(registry prometheus.Registerer, troubles func() (broken, cut uint64)) (*metrics, error) {
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_detector_events_total", Help: "Events read, by the first label of their type (other: none of the documented ones) and by outcome.",
		}, []string{"family", "outcome"}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_detector_rejected_total", Help: "Records read that are no acceptable event; ingest seals them as rejected.",
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_detector_skips_total", Help: "Times that reading went on elsewhere because Kafka no longer had the wanted offset.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_detector_states_refused_total", Help: "States of the last snapshot that could not be read, or that somebody without the keyring has written; whom they are about is learned anew.",
		}),
		waits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_detector_vault_waits_total", Help: "Times that a partition waited because the vault did not answer and no more newcomers could be held.",
		}),
		unwatched: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_detector_unwatched_total",
			Help: "Times that an event was about a tenant, an agent, a user or a producer for whom there was no room any more. Of tenants without room not even rules and findings count.",
		}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_detector_lag_records", Help: "Records of the partition behind the last one read, as of its fetch.",
		}, []string{"partition"}),
		held: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_detector_held_records", Help: "Records of newcomers that wait for the vault to say who they are, while what lies behind them is read.",
		}, []string{"partition"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agentaudit_detector_active", Help: "1: this process detects; 0: it stands by for another one.",
		}),
		subjects: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agentaudit_detector_subjects", Help: "People of whom something was learned.",
		}),
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_alerts_total", Help: "Incidents raised, by severity when they were first said.",
		}, []string{"severity"}),
	}
	for i, of := range []struct {
		result string
		count  func() float64
	}{
		{"broken", func() float64 { broken, _ := troubles(); return float64(broken) }},
		{"cut", func() float64 { _, cut := troubles(); return float64(cut) }},
	} {
		m.troubles[i] = prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "agentaudit_detector_rule_failures_total",
			Help:        "Times that a rule's condition could not be told (broken: what it names was absent, or a mistake of ours) or cost too much (cut), and so did not hold. Begins anew with each new set of rules.",
			ConstLabels: prometheus.Labels{"result": of.result},
		}, of.count)
	}
	for _, c := range []prometheus.Collector{
		m.events, m.rejected, m.skipped, m.refused, m.waits, m.unwatched, m.troubles[0], m.troubles[1], m.lag, m.held, m.active, m.subjects, m.alerts,
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	for i, family := range families {
		for outcome := events.Success; outcome <= events.Pending; outcome++ {
			m.families[i][outcome] = m.events.WithLabelValues(family, outcome.String())
		}
	}
	for s := anomaly.Low; s <= anomaly.Critical; s++ {
		m.alerts.WithLabelValues(s.String())
	}
	return m, nil
}

// families are the first labels of the documented types. A producer may send any type, and a metric's labels must be few. The last one is for all others.
var families = [...]string{
	"tool", "llm", "message", "auth", "data", "permission", "config", "approval", "security", "rate_limit", "consent", "other",
}

// familyCounts counts the events of a batch, so that counters that all partitions share are touched once a batch.
type familyCounts [len(families)][events.Pending + 1]uint32

// add counts an event of a type such as "tool.call", as it stands in the record.
func (c *familyCounts) add(eventType []byte, outcome events.Outcome) {
	family, _, _ := bytes.Cut(eventType, []byte{'.'})
	i := 0
	for i < len(families)-1 && families[i] != string(family) {
		i++
	}
	c[i][outcome]++
}

func (m *metrics) counted(b *batch) {
	m.rejected.Add(float64(b.rejected))
	for i := range b.counted {
		for outcome, n := range b.counted[i] {
			if n > 0 {
				m.families[i][outcome].Add(float64(n))
			}
		}
	}
}

// said counts an incident when it is first said.
func (m *metrics) said(in *anomaly.Incident) {
	if in.Revision == 1 {
		m.alerts.WithLabelValues(in.Severity.String()).Inc()
	}
}
