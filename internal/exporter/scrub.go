package exporter

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	// scrubStepEntries is what re-checking reads in one query at least, whatever the rate.
	scrubStepEntries = 20_000

	// scrubStepSeconds is how much of the rate one query reads. A query costs ClickHouse 60 to 80 ms beyond the entries that are looked at, because it
	// unpacks more ahead: at 50,000 a second, steps of one second doubled its share (BenchmarkRecheck).
	scrubStepSeconds = 2.5

	// scrubGrace is what a pass over all logs may take beyond twice the time that follows from the rate, before it is overdue: restarts, queries that are
	// tried again.
	scrubGrace = 10 * time.Minute
)

// scrubs paces the re-checking of old entries, over all logs together, and shows how far it is.
type scrubs struct {
	perSecond int
	every     time.Duration // between two passes over a log
	limiter   *rate.Limiter
	entries   func() uint64 // of all logs, as far as they have a checkpoint

	checked  prometheus.Counter
	progress *prometheus.GaugeVec
	due      *prometheus.Desc

	mu   sync.Mutex
	last map[string]time.Time // by log: when a pass last ended, or the log's first could begin
}

func newScrubs(cfg *Config, entries func() uint64) *scrubs {
	return &scrubs{
		perSecond: cfg.RecheckRate,
		every:     cfg.RecheckEvery,
		limiter:   rate.NewLimiter(rate.Limit(cfg.RecheckRate), int(scrubStep(cfg.RecheckRate))),
		entries:   entries,
		checked: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "agentaudit_exporter_rechecked_entries_total", Help: "Entries behind a checkpoint that were checked again.",
		}),
		progress: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "agentaudit_exporter_recheck_progress_ratio", Help: "Part of the log's entries that its present re-check has found right, or its last one.",
		}, []string{"log"}),
		due: prometheus.NewDesc("agentaudit_exporter_recheck_due_seconds",
			"When the present re-check of the log ought to have ended at the latest, in Unix seconds.", []string{"log"}, nil),
		last: map[string]time.Time{},
	}
}

// scrubStep is how many entries one query reads.
func scrubStep(perSecond int) uint64 {
	return min(max(uint64(scrubStepSeconds*float64(perSecond)), scrubStepEntries), stepEntries)
}

// pace is asked before each step of a check of a whole log: done entries were found right, next of them are to be read.
type pace func(ctx context.Context, done, next uint64) error

// atOnce is the pace of a check that somebody waits for.
func atOnce(context.Context, uint64, uint64) error { return nil }

// unpaced is atOnce for every log.
func unpaced(string, uint64) pace { return atOnce }

// paced waits until the rate allows the next step, and shows how far the pass is.
func (s *scrubs) paced(log string, size uint64) pace {
	return func(ctx context.Context, done, next uint64) error {
		s.shown(log, done, size)
		return s.limiter.WaitN(ctx, int(next))
	}
}

// shown notes how far a pass is.
func (s *scrubs) shown(log string, done, size uint64) {
	s.progress.WithLabelValues(log).Set(float64(done) / float64(size))
}

// awaited notes that a pass over a log begins, or the time until then, if it is not known already.
func (s *scrubs) awaited(log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.last[log]; !ok {
		s.last[log] = time.Now()
	}
}

// ended notes the end of a pass that found nothing wrong.
func (s *scrubs) ended(log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last[log] = time.Now()
}

// given up on: a log that was found bad is not re-checked.
func (s *scrubs) givenUp(log string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.last, log)
}

// patience is how long after the end of one pass the next one may end: the other logs have their turn between the two.
func (s *scrubs) patience() time.Duration {
	pass := time.Duration(float64(s.entries()) / float64(s.perSecond) * float64(time.Second))
	return s.every + 2*pass + scrubGrace
}

// Describe implements prometheus.Collector.
func (s *scrubs) Describe(out chan<- *prometheus.Desc) {
	s.checked.Describe(out)
	s.progress.Describe(out)
	out <- s.due
}

// Collect implements prometheus.Collector.
func (s *scrubs) Collect(out chan<- prometheus.Metric) {
	s.checked.Collect(out)
	s.progress.Collect(out)
	patience := s.patience()
	s.mu.Lock()
	defer s.mu.Unlock()
	for log, last := range s.last {
		out <- prometheus.MustNewConstMetric(s.due, prometheus.GaugeValue, float64(last.Add(patience).Unix()), log)
	}
}
