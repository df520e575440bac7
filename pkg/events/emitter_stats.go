package events

import "github.com/prometheus/client_golang/prometheus"

// Stats are an emitter's counts since it was made, and what waits now. At any
// moment
//
//	Accepted + Recovered = Acked + Rejected + Expired + Lost + InMemory + InSpool
//
// but for events that are on their way and in the spool at the same time.
type Stats struct {
	Accepted  uint64 // Emit and EmitSync returned nil, or EmitSync's context ended
	Recovered uint64 // found in the spool at the start
	Invalid   uint64 // refused by the parser
	Full      uint64 // refused for want of room, or because the spool failed
	Acked     uint64 // acknowledged by Kafka
	Rejected  uint64 // given up: Kafka refuses them for good
	Expired   uint64 // given up: older than SpoolMaxAge
	Lost      uint64 // in the spool, but damaged or unreadable there
	Spooled   uint64 // went through the spool
	Retries   uint64 // sends after which something was left to be sent again

	KafkaUp       bool   // the last request was acknowledged; true before the first
	InMemory      int    // in the queue or on their way, and not in the spool
	QueueBytes    int    // of keys and values in the queue
	InSpool       int64  // events
	SpoolBytes    int64  // of files
	SpoolCutBytes uint64 // torn tails cut off at the start
	SpoolDamaged  uint64 // segments found damaged or unreadable, kept as .damaged
}

// Stats returns a snapshot.
func (e *Emitter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.counters
	s.Accepted = e.accepted
	s.InMemory = e.inMemory()
	s.QueueBytes = e.queueBytes
	if e.spool != nil {
		s.InSpool, s.SpoolBytes = e.spool.pending()
		losses := e.spool.lossesSoFar()
		s.SpoolCutBytes, s.Lost, s.SpoolDamaged = uint64(losses.cutBytes), uint64(losses.lost), uint64(losses.damaged)
	}
	return s
}

// collector shows Stats to Prometheus.
type collector struct{ e *Emitter }

// Describe sends the descriptions of all metrics.
func (c collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect sends a snapshot.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := c.e.Stats()
	events := prometheus.NewDesc("agentaudit_emitter_events_total",
		"Events by what became of them; accepted and recovered ones are acked, rejected, expired or lost later.",
		[]string{"result"}, nil)
	for result, n := range map[string]uint64{
		"accepted": s.Accepted, "recovered": s.Recovered, "invalid": s.Invalid, "full": s.Full, "acked": s.Acked,
		"rejected": s.Rejected, "expired": s.Expired, "lost": s.Lost, "spooled": s.Spooled,
	} {
		ch <- prometheus.MustNewConstMetric(events, prometheus.CounterValue, float64(n), result)
	}
	counter := func(name, help string, v uint64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, float64(v))
	}
	gauge := func(name, help string, v float64) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), prometheus.GaugeValue, v)
	}
	counter("agentaudit_emitter_retries_total", "Sends after which something was left to be sent again.", s.Retries)
	counter("agentaudit_emitter_spool_cut_bytes_total", "Bytes of torn tails cut off the spool at the start.", s.SpoolCutBytes)
	counter("agentaudit_emitter_spool_damaged_segments_total",
		"Files of the spool found damaged or unreadable and kept as .damaged.", s.SpoolDamaged)
	gauge("agentaudit_emitter_memory_events", "Events in memory, waiting or on their way.", float64(s.InMemory))
	gauge("agentaudit_emitter_queue_bytes", "Bytes in the queue in memory.", float64(s.QueueBytes))
	gauge("agentaudit_emitter_spool_events", "Events in the spool on disk.", float64(s.InSpool))
	gauge("agentaudit_emitter_spool_bytes", "Bytes of the spool's files.", float64(s.SpoolBytes))
	up := 0.0
	if s.KafkaUp {
		up = 1
	}
	gauge("agentaudit_emitter_kafka_up", "1 if Kafka acknowledged the last request.", up)
}
