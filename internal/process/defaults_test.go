package process

import (
	"reflect"
	"testing"

	"github.com/agentaudit/agentaudit/internal/config"
	"github.com/agentaudit/agentaudit/internal/detector"
	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/exporter"
	"github.com/agentaudit/agentaudit/internal/ingest"
	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/ledger"
	"github.com/agentaudit/agentaudit/internal/store"
)

// What the manual says holds where nothing is set is what the components do when they are told nothing.
func TestDefaultsAgree(t *testing.T) {
	c := config.DefaultConfig()
	f := func(key string, documented, applied any) {
		t.Helper()
		if !reflect.DeepEqual(documented, applied) {
			t.Errorf("%s: the manual says %v, the component does %v", key, documented, applied)
		}
	}
	in := ingest.DefaultConfig()
	f("ingest.topics.events", c.Ingest.Topics.Events, in.EventsTopic)
	f("ingest.topics.system", c.Ingest.Topics.System, in.SystemTopic)
	f("ingest.group", c.Ingest.Group, in.Group)
	f("ingest.batch.max_rows", c.Ingest.Batch.MaxRows, in.MaxRows)
	f("ingest.batch.max_bytes", int(c.Ingest.Batch.MaxBytes), in.MaxBytes)
	f("ingest.batch.linger", c.Ingest.Batch.Linger, in.Linger)
	f("ingest.batch.in_memory", c.Ingest.Batch.InMemory, in.Blocks)
	for _, field := range []struct {
		key, documented string
		applied         ingest.Policy
	}{
		{"session_id", c.Ingest.Fields.SessionID, in.Fields.SessionID},
		{"conversation_id", c.Ingest.Fields.ConversationID, in.Fields.ConversationID},
		{"source_ip", c.Ingest.Fields.SourceIP, in.Fields.SourceIP},
		{"resource_id", c.Ingest.Fields.ResourceID, in.Fields.ResourceID},
		{"attributes", c.Ingest.Fields.Attributes, in.Fields.Attributes},
	} {
		policy, err := ingest.ParsePolicy(field.documented)
		if err != nil {
			t.Fatal(err)
		}
		f("ingest.fields."+field.key, policy, field.applied)
	}

	f("clickhouse.max_execution and insert_timeout of a log", LedgerConfig(c), ledger.DefaultConfig())
	st := store.DefaultConfig()
	f("clickhouse.addresses", c.ClickHouse.Addresses, st.Addresses)
	f("clickhouse.database", c.ClickHouse.Database, st.Database)
	f("clickhouse.user", c.ClickHouse.User, st.User)
	f("clickhouse.cluster", c.ClickHouse.Cluster, st.Cluster)
	f("clickhouse.replicated_path", c.ClickHouse.ReplicatedPath, st.ReplicatedPath)
	f("clickhouse.max_execution", c.ClickHouse.MaxExecution, st.MaxExecution)
	f("clickhouse.insert_timeout", c.ClickHouse.InsertTimeout, st.InsertTimeout)
	f("clickhouse.query_timeout", c.ClickHouse.QueryTimeout, st.QueryTimeout)
	f("embedded.clickhouse_memory", int64(c.Embedded.ClickHouseMemory), int64(engine.DefaultMaxMemoryBytes))

	kafka := kafkaio.DefaultConfig()
	f("kafka.brokers", c.Kafka.Brokers, kafka.Brokers)
	f("kafka.client_id", c.Kafka.ClientID, kafka.ClientID)
	f("kafka.tls.enabled", c.Kafka.TLS.Enabled, kafka.TLS.Enabled)
	f("kafka.sasl.mechanism", c.Kafka.SASL.Mechanism, kafka.SASL.Mechanism)

	ex := exporter.DefaultConfig()
	f("ingest.topics.system of the exporter", c.Ingest.Topics.System, ex.SystemTopic)
	f("ingest.rejected.keep_days", c.Ingest.Rejected.KeepDays, ex.RejectedKeepDays)
	f("exporter.poll_every", c.Exporter.PollEvery, ex.PollEvery)
	f("exporter.check_published", c.Exporter.CheckPublished, ex.CheckPublished)
	f("exporter.recheck_every", c.Exporter.RecheckEvery, ex.RecheckEvery)
	f("exporter.recheck_rate", c.Exporter.RecheckRate, ex.RecheckRate)
	f("exporter.heartbeat_every", c.Exporter.HeartbeatEvery, ex.HeartbeatEvery)

	de := detector.DefaultConfig()
	f("ingest.topics.events of the detector", c.Ingest.Topics.Events, de.EventsTopic)
	f("detector.group", c.Detector.Group, de.Group)
	f("detector.alerts_topic", c.Detector.AlertsTopic, de.AlertsTopic)
	f("detector.snapshot_every", c.Detector.SnapshotEvery, de.SnapshotEvery)
	f("detector.take_over", c.Detector.TakeOver, de.Turn)
	f("detector.max_cached", c.Detector.MaxCached, de.MaxSubjects)
	f("detector.threshold", c.Detector.Threshold, de.Engine.Threshold)
	f("detector.learn_days", c.Detector.LearnDays, de.Engine.LearnDays)
	f("detector.alerts_per_day", c.Detector.AlertsPerDay, de.Engine.AlertsPerDay)
}
