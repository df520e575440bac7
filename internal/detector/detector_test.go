package detector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// soon bounds waiting for what should take seconds, joining a group included.
const soon = time.Minute

// rig is a topic, and detectors of one group on it.
type rig struct {
	t     *testing.T
	cfg   Config
	kafka *kafkaio.Client
}

func newRig(t *testing.T, addr string, partitions int) *rig {
	t.Helper()
	topic := testkit.Topic(t, addr, partitions)
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{addr}
	kafka, err := kafkaio.New(cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return &rig{t: t, cfg: Config{EventsTopic: topic, Group: topic}, kafka: kafka}
}

func (r *rig) start() (d *Detector, stop func()) {
	r.t.Helper()
	d, err := New(r.cfg, Deps{Kafka: r.kafka, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(r.t.Output(), nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }() // ends with ctx
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("detector: %v", err)
		}
	})
	r.t.Cleanup(stop)
	return d, stop
}

func event(eventType, outcome string) string {
	return fmt.Sprintf(`{"schema":"agentaudit.event/v1","event_id":"%s","time":"%s","type":"%s","action":"act","outcome":"%s","tenant":"acme","user_id":"u"}`,
		uuid.New(), time.Now().UTC().Format(time.RFC3339Nano), eventType, outcome)
}

// produce sends values to partition 0.
func (r *rig) produce(values ...string) {
	r.t.Helper()
	messages := make([]kafkaio.Message, len(values))
	for i, v := range values {
		messages[i].Value = []byte(v)
	}
	if err := r.kafka.ProduceTo(r.t.Context(), r.cfg.EventsTopic, 0, messages); err != nil {
		r.t.Fatal(err)
	}
}

func (d *Detector) counted(family, outcome string) float64 {
	return testutil.ToFloat64(d.metrics.events.WithLabelValues(family, outcome))
}

func TestCounts(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		r := newRig(t, addr, 2)
		r.produce(event("tool.call", "success"), event("tool.call", "denied"), event("tool.result", "success"), event("llm.call", "failure"),
			event("rate_limit.exceeded", "blocked"), event("homemade.thing", "pending"), "not JSON", `{}`, event("audit.heartbeat", "success"), event("tool.call", "no outcome"))
		d, stop := r.start()
		testkit.Eventually(t, soon, func() bool { return testutil.ToFloat64(d.metrics.rejected) == 4 }, "four records are refused")
		for _, want := range []struct {
			family, outcome string
			n               float64
		}{{"tool", "success", 2}, {"tool", "denied", 1}, {"llm", "failure", 1}, {"rate_limit", "blocked", 1}, {"other", "pending", 1}, {"tool", "failure", 0}} {
			if got := d.counted(want.family, want.outcome); got != want.n {
				t.Errorf("%s %s: %v, want %v", want.family, want.outcome, got, want.n)
			}
		}
		if lag := testutil.ToFloat64(d.metrics.lag.WithLabelValues(r.cfg.EventsTopic + "/0")); lag != 0 {
			t.Errorf("lag %v after everything was read", lag)
		}

		stop()
		r.produce(event("auth.login", "success"))
		d, _ = r.start()
		testkit.Eventually(t, soon, func() bool { return d.counted("auth", "success") == 1 }, "what came meanwhile is read")
		if d.counted("tool", "success") != 0 {
			t.Error("what was committed is read again")
		}
	})
}

// TestGoesOnAfterAGap: Kafka deleted what the detector had not read yet.
func TestGoesOnAfterAGap(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		r := newRig(t, addr, 1)
		r.produce(event("tool.call", "success"))
		d, stop := r.start()
		testkit.Eventually(t, soon, func() bool { return d.counted("tool", "success") == 1 }, "the first record is read")
		stop()
		r.produce(event("llm.call", "success"), event("llm.call", "success"), event("auth.login", "success"))
		testkit.DeleteRecords(t, addr, r.cfg.EventsTopic, 0, 3)
		d, _ = r.start()
		testkit.Eventually(t, soon, func() bool { return d.counted("auth", "success") == 1 }, "the record behind the gap is read")
		if testutil.ToFloat64(d.metrics.skipped) != 1 || d.counted("llm", "success") != 0 {
			t.Errorf("skips %v", testutil.ToFloat64(d.metrics.skipped))
		}
	})
}

func TestNewRefuses(t *testing.T) {
	r := newRig(t, testkit.EmbeddedKafka(t).Address, 1)
	for _, cfg := range []Config{{Group: "g"}, {EventsTopic: "t"}} {
		if _, err := New(cfg, Deps{Kafka: r.kafka, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)}); err == nil {
			t.Errorf("accepted: %+v", cfg)
		}
	}
}
