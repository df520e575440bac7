package exporter

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/author"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

func TestHeartbeats(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		r := newRig(t)
		r.kafka = newKafka(t, addr)
		r.cfg.SystemTopic = testkit.Topic(t, addr, 3)
		r.cfg.HeartbeatEvery = time.Second
		p := r.start()
		testkit.Eventually(t, soon, func() bool { return testutil.ToFloat64(p.metrics.heartbeats.WithLabelValues(resultSent)) >= 6 }, "two rounds of heartbeats")
		known, found, err := r.vault.Author(t.Context(), "exporter-1")
		if err != nil || !found {
			t.Fatalf("the author is not in the vault: %v", err)
		}
		for partition := range 3 {
			checkHeartbeat(t, r, partition, known.Key)
		}
	})
}

// checkHeartbeat checks the first record of a partition as ingest will.
func checkHeartbeat(t *testing.T, r *rig, partition int, key ed25519.PublicKey) {
	t.Helper()
	record, found, err := r.kafka.RecordAt(t.Context(), r.cfg.SystemTopic, partition, 0)
	if err != nil || !found {
		t.Fatalf("no heartbeat in partition %d: %v", partition, err)
	}
	name, _ := record.Header(gdpr.HeaderAuthor)
	text, _ := record.Header(gdpr.HeaderSignature)
	sig, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || string(name) != "exporter-1" || !gdpr.VerifySystem(key, record.Value, sig) {
		t.Errorf("signature of the heartbeat of partition %d does not verify", partition)
	}
	var event events.Event
	if err := events.NewParser().Parse(record.Value, &event); err != nil {
		t.Fatal(err)
	}
	if !event.Reserved() || string(event.Raw(events.FieldType)) != author.TypeHeartbeat || event.Has(events.FieldUserID) || event.NumUnknown() > 0 {
		t.Errorf("heartbeat %s", record.Value)
	}
}

// TestNameOfAnotherKeyIsFatal: heartbeats under a name that the vault knows for another key would all be rejected.
func TestNameOfAnotherKeyIsFatal(t *testing.T) {
	r := newRig(t)
	if err := newAuthor(t, "exporter-1").Register(t.Context(), r.vault); err != nil {
		t.Fatal(err)
	}
	e, err := New(r.cfg, Deps{Kafka: r.kafka, Store: r.store, Vault: r.vault, Author: r.author, Keys: r.loadKeys, Metrics: prometheus.NewRegistry(),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Run(t.Context()); !errors.Is(err, vault.ErrExists) {
		t.Fatalf("Run: %v", err)
	}
}
