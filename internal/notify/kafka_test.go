package notify

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/notify/slacktest"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// soon bounds waiting for what should take seconds, joining a group included.
const soon = time.Minute

// From the topic to Slack, through a Kafka, with the process ended again and again in the middle: nothing is lost, nothing comes twice.
func TestFromKafka(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, 1)
		kcfg := kafkaio.DefaultConfig()
		kcfg.Brokers = []string{addr}
		kafka, err := kafkaio.New(kcfg, kafkaio.Deps{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(kafka.Close)
		fake := slacktest.New(token, map[string]string{"#alerts": alerts})
		server := httptest.NewServer(fake)
		t.Cleanup(server.Close)
		cfg := DefaultConfig()
		cfg.Topic, cfg.Group = topic, topic
		cfg.RequestTimeout = time.Second
		cfg.Slack = SlackConfig{APIURL: server.URL, Token: token, Channel: alerts, DigestAt: NoDigest}
		v := openVault(t)
		start := func() (n *Notifier, stop func()) {
			n, err := New(cfg, Deps{Kafka: kafka, Vault: v, Metrics: prometheus.NewRegistry(), Log: discard()})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- n.Run(ctx) }() // ends with ctx
			stop = sync.OnceFunc(func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("run: %v", err)
				}
			})
			t.Cleanup(stop)
			return n, stop
		}
		say := func(values ...[]byte) {
			var messages []kafkaio.Message
			for _, value := range values {
				messages = append(messages, kafkaio.Message{Key: []byte("k"), Value: value})
			}
			if err := kafka.Produce(t.Context(), topic, messages); err != nil {
				t.Fatal(err)
			}
		}
		record := func(in anomaly.Incident) []byte {
			text, err := anomaly.MarshalIncident(&in)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		first, second, third := incident(anomaly.High), incident(anomaly.Critical), incident(anomaly.Low)
		second = next(second, func(in *anomaly.Incident) { in.Status = anomaly.Final })

		// The first is stored by Slack, and the process ends before it hears so.
		fake.Script("chat.postMessage", slacktest.Fault{Hang: true, Store: true})
		say(record(first), []byte("no incident"), []byte(`{}`))
		n, stop := start()
		testkit.Eventually(t, soon, func() bool { top, _ := fake.Messages(alerts); return len(top) == 1 }, "the first is posted")
		testkit.Eventually(t, soon, func() bool { return testutil.ToFloat64(n.metrics.records.WithLabelValues(recordRejected)) == 2 }, "what is no incident is counted")
		stop()
		say(record(second), record(third), record(first)) // the last one repeated by its producer
		_, stop = start()
		done := func(in ...anomaly.Incident) bool {
			top, _ := fake.Messages(alerts)
			if len(top) != len(in) {
				return false
			}
			for i := range in {
				if top[i].Metadata.EventPayload[idKey] != in[i].ID.String() || top[i].Metadata.EventPayload[revisionKey] != float64(in[i].Revision) {
					return false
				}
			}
			return true
		}
		testkit.Eventually(t, soon, func() bool { return done(first, second, third) }, "the others follow, and the first is not posted again")
		stop()
		// What was said while nobody was there, of an incident that is known.
		first = next(first, func(in *anomaly.Incident) { in.Severity, in.Status = anomaly.Critical, anomaly.Final })
		say(record(first))
		_, stop = start()
		testkit.Eventually(t, soon, func() bool {
			_, replies := fake.Messages(alerts)
			return done(first, second, third) && len(replies) >= 3
		}, "the first is updated in place")
		stop()
		seen := map[uuid.UUID]bool{}
		top, _ := fake.Messages(alerts)
		for _, m := range top {
			id, err := uuid.Parse(m.Metadata.EventPayload[idKey].(string))
			if err != nil || seen[id] {
				t.Errorf("%s twice, %v", id, err)
			}
			seen[id] = true
		}
		for _, refused := range fake.Refused() {
			if !strings.Contains(refused, "ratelimited") { // a process that was just started does not know when its predecessor sent
				t.Errorf("Slack refused %q", refused)
			}
		}
	})
}
