package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry returns a registry that has the metrics of the Go runtime, of the operating system's process
// and of the build. A process makes one and hands it to its components.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := ReadBuild()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "agentaudit_build_info",
			Help:        "Which version is running; always 1.",
			ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "go": build.Go},
		}, func() float64 { return 1 }),
	)
	return registry
}
