package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

type metrics struct {
	entries      *prometheus.CounterVec
	lag          *prometheus.GaugeVec
	batchSeconds prometheus.Histogram
	superseded   prometheus.Counter
	retries      prometheus.Counter
	stopped      *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_ingest_entries_total", Help: "Entries stored and read back, by kind.",
		}, []string{"kind"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_ingest_lag_records", Help: "Records of the partition behind the last stored one, as of its fetch.",
		}, []string{"log"}),
		batchSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "agentaudit_ingest_batch_seconds", Help: "From handing a batch to ClickHouse to having read it back, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 16),
		}),
		superseded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_ingest_superseded_total", Help: "Times that another writer had extended the log.",
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_ingest_store_retries_total", Help: "Failures of ClickHouse or the vault that were overcome by trying again.",
		}),
		stopped: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_ingest_stopped", Help: "1 while a partition waits for an operator.",
		}, []string{"partition", "reason"}),
	}
	for kind := chain.KindEvent; kind <= chain.KindControl; kind++ {
		m.entries.WithLabelValues(kind.String()) // there from the start, so that rates are right
	}
	reg.MustRegister(m.entries, m.lag, m.batchSeconds, m.superseded, m.retries, m.stopped)
	return m
}
