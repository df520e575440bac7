package detector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/pkg/events"
)

type metrics struct {
	events   *prometheus.CounterVec // family, outcome
	rejected prometheus.Counter
	skipped  prometheus.Counter
	lag      *prometheus.GaugeVec // partition
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
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
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_detector_lag_records", Help: "Records of the partition behind the last one read, as of its fetch.",
		}, []string{"partition"}),
	}
	for _, c := range []prometheus.Collector{m.events, m.rejected, m.skipped, m.lag} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// families are the first labels of the documented types. A producer may send any type, and a metric's labels must be few.
var families = [...]string{
	"tool", "llm", "message", "auth", "data", "permission", "config", "approval", "security", "rate_limit", "consent", otherFamily,
}

const otherFamily = "other"

// familyCounters finds an event's counter without making a string of it. It belongs to one goroutine.
type familyCounters map[string]*[events.Pending + 1]prometheus.Counter

func newFamilyCounters(m *metrics) familyCounters {
	counters := familyCounters{}
	for _, family := range families {
		byOutcome := new([events.Pending + 1]prometheus.Counter)
		for outcome := events.Success; outcome <= events.Pending; outcome++ {
			byOutcome[outcome] = m.events.WithLabelValues(family, outcome.String())
		}
		counters[family] = byOutcome
	}
	return counters
}

// count counts an event of a type such as "tool.call", as it stands in the record.
func (c familyCounters) count(eventType []byte, outcome events.Outcome) {
	label := eventType
	for i, b := range eventType {
		if b == '.' {
			label = eventType[:i]
			break
		}
	}
	byOutcome, known := c[string(label)]
	if !known {
		byOutcome = c[otherFamily]
	}
	byOutcome[outcome].Inc()
}
