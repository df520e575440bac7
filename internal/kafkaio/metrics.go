package kafkaio

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one process; clients that share a registry share them.
type metrics struct {
	records    *prometheus.CounterVec // topic
	bytes      *prometheus.CounterVec // topic
	failures   *prometheus.CounterVec // topic, reason
	holes      *prometheus.CounterVec // topic
	absent     *prometheus.CounterVec // topic
	following  *prometheus.GaugeVec   // topic
	produced   *prometheus.CounterVec // topic
	resent     *prometheus.CounterVec // topic
	generation *prometheus.CounterVec // group
	assigned   *prometheus.GaugeVec   // group
	parked     *prometheus.GaugeVec   // group
	joinErrors *prometheus.CounterVec // group
	commits    *prometheus.CounterVec // group, result
}

// Reasons of a failed fetch, label of agentaudit_kafka_fetch_failures_total.
const (
	reasonConnect = "connect" // no connection to the partition's leader
	reasonNetwork = "network" // the connection broke or was silent for too long
	reasonBroker  = "broker"  // the broker answered with an error
	reasonCorrupt = "corrupt" // what came is no record batch
	reasonOffset  = "offset"  // the log does not have the wanted offset
)

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	r := &registrar{registry: registry}
	m := &metrics{
		records:    r.counter("fetched_records_total", "Records delivered.", "topic"),
		bytes:      r.counter("fetched_bytes_total", "Bytes of record batches read, as they came over the network.", "topic"),
		failures:   r.counter("fetch_failures_total", "Fetches that failed and are tried again.", "topic", "reason"),
		holes:      r.counter("offset_holes_total", "Places where a log goes on at a later offset than the next; none are expected unless a topic is compacted.", "topic"),
		absent:     r.counter("absent_offsets_total", "Offsets passed over because no record is there: markers of transactions, and what compaction removed.", "topic"),
		following:  r.gauge("following_partitions", "Partitions being followed whose last fetch succeeded.", "topic"),
		produced:   r.counter("produced_records_total", "Records acknowledged by all in-sync replicas.", "topic"),
		resent:     r.counter("produce_resent_total", "Batches sent again after an error; each may have doubled its records.", "topic"),
		generation: r.counter("group_generations_total", "Times that partitions were assigned anew.", "group"),
		assigned:   r.gauge("group_assigned_partitions", "Partitions assigned to this member.", "group"),
		parked:     r.gauge("group_parked_partitions", "Assigned partitions whose work has stopped until the next generation.", "group"),
		joinErrors: r.counter("group_join_failures_total", "Failed attempts to join the group.", "group"),
		commits:    r.counter("group_commits_total", "Commits of offsets, which are for lag tools only.", "group", "result"),
	}
	return m, r.err
}

// registrar registers metrics under our prefix, or takes those that are there already.
type registrar struct {
	registry prometheus.Registerer
	err      error
}

func (r *registrar) counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agentaudit_kafka_" + name, Help: help}, labels))
}

func (r *registrar) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "agentaudit_kafka_" + name, Help: help}, labels))
}

func register[C prometheus.Collector](r *registrar, c C) C {
	if r.registry == nil || r.err != nil {
		return c
	}
	err := r.registry.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	r.err = err
	return c
}
