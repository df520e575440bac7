package exporter

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	failures    prometheus.Counter
	checked     prometheus.Counter
	retries     prometheus.Counter
	heartbeats  *prometheus.CounterVec
	destroyed   prometheus.Counter
	published   prometheus.Counter
	rechecked   *prometheus.GaugeVec
	lockWaiting prometheus.Gauge
	foreign     prometheus.Counter
	seals       *sealGauges
	scrubs      *scrubs
}

func newMetrics(cfg *Config, registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_verify_failures_total", Help: "Logs that failed verification and are no longer followed. Any increase is critical.",
		}),
		checked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_exporter_checked_entries_total", Help: "Entries whose hash and link were found right, repeated checks included.",
		}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_exporter_retries_total", Help: "Failures of ClickHouse, Kafka or the vault after which the work is tried again.",
		}),
		heartbeats: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_exporter_heartbeats_total", Help: "Heartbeats for the partitions of audit.system.",
		}, []string{"result"}),
		destroyed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_exporter_day_keys_destroyed_total", Help: "Keys of rejected records that were destroyed after their time.",
		}),
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_exporter_published_checkpoints_total", Help: "Signed checkpoints that Kafka has taken, those that had not moved included.",
		}),
		rechecked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_exporter_recheck_end_seconds", Help: "When all entries and tiles of the log were last found right, from the first to the checkpoint, in Unix seconds.",
		}, []string{"log"}),
		lockWaiting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "agentaudit_exporter_lock_waiting", Help: "1 while no checkpoint is signed because those that were published could not be read yet.",
		}),
		foreign: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_exporter_foreign_checkpoints_total",
			Help: "Records of the topic of checkpoints that are no checkpoint, or claim more than the vault has without a signature of ours.",
		}),
		seals: &sealGauges{
			size: prometheus.NewDesc("agentaudit_seal_size", "Entries that the log's checkpoint covers.", []string{"log"}, nil),
			age:  prometheus.NewDesc("agentaudit_seal_age_seconds", "Time since the log's checkpoint last covered all of its entries.", []string{"log"}, nil),
			logs: map[string]seal{},
		},
	}
	m.scrubs = newScrubs(cfg, m.seals.entries)
	for _, result := range []string{resultSent, resultFailed} {
		m.heartbeats.WithLabelValues(result) // there from the start, so that rates are right
	}
	for _, c := range []prometheus.Collector{m.failures, m.checked, m.retries, m.heartbeats, m.destroyed, m.published, m.rechecked, m.lockWaiting, m.foreign, m.seals, m.scrubs} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Label of heartbeats.
const (
	resultSent   = "sent"
	resultFailed = "failed"
)

// sealGauges shows the checkpoints. Their age grows by itself, so it is computed when asked for.
type sealGauges struct {
	size, age *prometheus.Desc

	mu   sync.Mutex
	logs map[string]seal // by log
}

type seal struct {
	size    uint64
	current time.Time // when the checkpoint last covered all entries, or the log was found
	waiting bool      // it did, and the table has not changed since
}

func (g *sealGauges) found(log string) {
	g.update(log, func(s *seal) { s.current = time.Now() })
}

// covered notes that the checkpoint covers all entries.
func (g *sealGauges) covered(log string, size uint64) {
	g.update(log, func(s *seal) { *s = seal{size: size, current: time.Now(), waiting: true} })
}

// moved notes a checkpoint that may not cover all entries yet.
func (g *sealGauges) moved(log string, size uint64) {
	g.update(log, func(s *seal) { s.size = size })
}

// behind notes that nobody knows whether the checkpoint covers all entries.
func (g *sealGauges) behind(log string) {
	g.update(log, func(s *seal) { s.waiting = false })
}

func (g *sealGauges) update(log string, change func(s *seal)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.logs[log]
	change(&s)
	g.logs[log] = s
}

// changed notes that there may be more entries of any log.
func (g *sealGauges) changed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for log, s := range g.logs {
		s.waiting = false
		g.logs[log] = s
	}
}

// unchanged notes that what was covered still is.
func (g *sealGauges) unchanged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for log, s := range g.logs {
		if s.waiting {
			s.current = now
			g.logs[log] = s
		}
	}
}

// entries is how many entries the checkpoints cover, of all logs together.
func (g *sealGauges) entries() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all uint64
	for _, s := range g.logs {
		all += s.size
	}
	return all
}

// Describe implements prometheus.Collector.
func (g *sealGauges) Describe(out chan<- *prometheus.Desc) {
	out <- g.size
	out <- g.age
}

// Collect implements prometheus.Collector.
func (g *sealGauges) Collect(out chan<- prometheus.Metric) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for log, s := range g.logs {
		out <- prometheus.MustNewConstMetric(g.size, prometheus.GaugeValue, float64(s.size), log)
		out <- prometheus.MustNewConstMetric(g.age, prometheus.GaugeValue, time.Since(s.current).Seconds(), log)
	}
}
