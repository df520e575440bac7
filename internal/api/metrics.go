package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	failed   *prometheus.CounterVec
}

// Label of failed authentications.
const (
	failedMalformed = "malformed" // no key
	failedUnknown   = "unknown"   // none that counts
	failedLimited   = "limited"   // not looked up: too many were unknown
)

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_api_requests_total", Help: "Requests over HTTP below /v1/ that were answered, by what was asked for and the status.",
		}, []string{"endpoint", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "agentaudit_api_request_seconds", Help: "Time until the answer was sent.", Buckets: []float64{.005, .02, .1, .5, 2, 10, 60},
		}, []string{"endpoint"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "agentaudit_api_failed_authentications_total", Help: "Requests over HTTP without an API key that counts.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{failedMalformed, failedUnknown, failedLimited} {
		m.failed.WithLabelValues(reason) // there from the start, so that rates are right
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.failed} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) answered(endpoint string, status int, took time.Duration) {
	m.requests.WithLabelValues(endpoint, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(endpoint).Observe(took.Seconds())
}
