package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// limit is how long a test waits for what must come.
const limit = 60 * time.Second

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// noLeaks checks at the test's end that the emitter left no goroutine. Brokers
// started again meanwhile are still awaited.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait")) })
}

func config(addr, topic string) events.EmitterConfig {
	cfg := events.DefaultEmitterConfig()
	cfg.Brokers = []string{addr}
	cfg.Topic = topic
	cfg.MaxBackoff = 200 * time.Millisecond
	cfg.RequestTimeout = 5 * time.Second
	return cfg
}

func withSpool(cfg events.EmitterConfig, dir string) events.EmitterConfig {
	cfg.SpoolDir = dir
	cfg.SpoolKey = bytes.Repeat([]byte{7}, 32)
	cfg.SpoolAfter = 100 * time.Millisecond
	cfg.SpoolSyncEvery = 20 * time.Millisecond
	return cfg
}

func newEmitter(t *testing.T, cfg events.EmitterConfig, deps events.EmitterDeps) *events.Emitter {
	t.Helper()
	e, err := events.NewEmitter(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // a test that wants a graceful end closes it itself
		_ = e.Close(ctx)
	})
	return e
}

func closeEmitter(t *testing.T, e *events.Emitter) {
	t.Helper()
	if err := e.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s := e.Stats()
	if in, out := s.Accepted+s.Recovered, s.Acked+s.Rejected+s.Expired+s.Lost+uint64(s.InMemory)+uint64(s.InSpool); in > out {
		t.Errorf("%d events came in, %d are accounted for: %+v", in, out, s)
	}
}

// numbered is the n-th event of a user.
func numbered(user string, n int) *events.Record {
	return &events.Record{
		Type: "tool.call", Action: "call", Outcome: events.Success, Tenant: "acme", UserID: user,
		Tool:    events.Tool{Name: "search"},
		Content: events.Content{Input: events.Text(fmt.Sprint(n))},
	}
}

// sent is what is looked at in a delivered record.
type sent struct {
	EventID  string          `json:"event_id"`
	Time     time.Time       `json:"time"`
	UserID   string          `json:"user_id"`
	Producer events.Producer `json:"producer"`
	Content  struct{ Input string }
}

func parseSent(t *testing.T, r *kgo.Record) sent {
	t.Helper()
	var s sent
	if err := json.Unmarshal(r.Value, &s); err != nil {
		t.Fatal(err)
	}
	var ev events.Event
	if err := events.NewParser().Parse(r.Value, &ev); err != nil {
		t.Fatal(err)
	}
	if want := "acme/" + s.UserID; string(r.Key) != want {
		t.Fatalf("key is %q, want %q", r.Key, want)
	}
	return s
}

// checkDelivered checks that the users' events 0 to n-1 are all there, the first
// copy of each in order, and returns how many are there twice.
func checkDelivered(t *testing.T, records []*kgo.Record, n map[string]int) (twice int) {
	t.Helper()
	next := make(map[string]int)
	partition := make(map[string]int32)
	seen := make(map[string]bool)
	for _, r := range records {
		s := parseSent(t, r)
		if p, ok := partition[s.UserID]; ok && p != r.Partition {
			t.Fatalf("%s is in partitions %d and %d", s.UserID, p, r.Partition)
		}
		partition[s.UserID] = r.Partition
		if seen[s.EventID] {
			twice++
			continue
		}
		seen[s.EventID] = true
		if want := fmt.Sprint(next[s.UserID]); s.Content.Input != want {
			t.Fatalf("event %s of %s comes where %s should", s.Content.Input, s.UserID, want)
		}
		next[s.UserID]++
	}
	for user, want := range n {
		if next[user] != want {
			t.Errorf("%d events of %s are there, want %d", next[user], user, want)
		}
	}
	return twice
}

func TestEmitterDelivers(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, testPartitions)
		noLeaks(t)
		e := newEmitter(t, config(addr, topic), events.EmitterDeps{})
		const workers, each = 8, 500
		want := make(map[string]int)
		var wg sync.WaitGroup
		for w := range workers {
			user := fmt.Sprintf("user-%d", w)
			want[user] = each
			wg.Go(func() {
				for n := range each {
					if err := e.Emit(context.Background(), numbered(user, n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := e.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if s := e.Stats(); s.Acked != workers*each || s.Accepted != workers*each || s.InMemory != 0 {
			t.Errorf("after Flush: %+v", s)
		}
		closeEmitter(t, e)

		records := readTopic(t, addr, topic)
		if twice := checkDelivered(t, records, want); twice != 0 {
			t.Errorf("%d events are there twice", twice)
		}
		seqs := make(map[uint64]bool)
		for _, r := range records {
			s := parseSent(t, r)
			if s.Producer.ID != e.ProducerID() {
				t.Fatalf("producer.id %q, want %q", s.Producer.ID, e.ProducerID())
			}
			seqs[s.Producer.Seq] = true
			if s.EventID[14] != '7' {
				t.Fatalf("event id %s is not of version 7", s.EventID)
			}
			if age := time.Since(s.Time); age < 0 || age > limit {
				t.Fatalf("time is %s", s.Time)
			}
		}
		for seq := range uint64(workers * each) {
			if !seqs[seq] {
				t.Fatalf("producer.seq %d is missing", seq)
			}
		}
	})
}

// TestEmitterPartitions: a user is put where a client of another make, with
// Java's default, puts it.
func TestEmitterPartitions(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, testPartitions)
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		e := newEmitter(t, config(addr, topic), events.EmitterDeps{})
		want := make(map[string]int32)
		for i := range 50 {
			user := fmt.Sprintf("käthe-%d@example.com", i)
			res := cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Key: []byte("acme/" + user)})
			if err := res.FirstErr(); err != nil {
				t.Fatal(err)
			}
			want["acme/"+user] = res[0].Record.Partition
			if err := e.Emit(t.Context(), numbered(user, 0)); err != nil {
				t.Fatal(err)
			}
		}
		closeEmitter(t, e)
		for _, r := range readTopic(t, addr, topic) {
			if want[string(r.Key)] != r.Partition {
				t.Errorf("%s is in partition %d, want %d", r.Key, r.Partition, want[string(r.Key)])
			}
		}
	})
}

func TestEmitterRefusesInvalidEvents(t *testing.T) {
	noLeaks(t)
	e := newEmitter(t, config("127.0.0.1:1", "agent.events"), events.EmitterDeps{})
	f := func(change func(*events.Record), field string) {
		t.Helper()
		r := numbered("ann", 0)
		change(r)
		var invalid *events.Invalid
		if err := e.Emit(t.Context(), r); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("got %v, want a refusal of %s", err, field)
		}
	}
	f(func(r *events.Record) { r.Type = "" }, "type")
	f(func(r *events.Record) { r.Type = "alert.raised" }, "type")
	f(func(r *events.Record) { r.Tenant = "a/b" }, "tenant")
	f(func(r *events.Record) { r.Content.Input = json.RawMessage(`{"a":1,"a":2}`) }, "content.input")
	f(func(r *events.Record) { r.Content.Input = events.Text(strings.Repeat("x", 1_000_000)) }, "record")
	if s := e.Stats(); s.Invalid != 5 || s.Accepted != 0 {
		t.Errorf("%+v", s)
	}
}

// TestEmitterQueueFull: without a spool an event that has no room is refused at
// once, or after the caller's time.
func TestEmitterQueueFull(t *testing.T) {
	noLeaks(t)
	cfg := config("127.0.0.1:1", "agent.events") // nobody listens
	cfg.QueueRecords, cfg.BatchRecords = 50, 10
	e := newEmitter(t, cfg, events.EmitterDeps{})
	accepted, err := fill(t, e)
	if !errors.Is(err, events.ErrQueueFull) {
		t.Fatal(err)
	}
	if accepted < 50 || accepted > 60 {
		t.Errorf("%d events were accepted", accepted)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	err = e.Close(ctx)
	if !errors.Is(err, events.ErrUnsent) || !strings.Contains(err.Error(), fmt.Sprintf("%d events", accepted)) {
		t.Errorf("Close says %v, %d events were accepted", err, accepted)
	}
	if err := e.Emit(context.Background(), numbered("ann", 0)); !errors.Is(err, events.ErrClosed) {
		t.Errorf("Emit after Close: %v", err)
	}

	cfg.WhenFull = events.WaitWhenFull
	e = newEmitter(t, cfg, events.EmitterDeps{})
	ctx, cancel = context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	for err = nil; err == nil; {
		err = e.Emit(ctx, numbered("ann", 0))
	}
	if !errors.Is(err, events.ErrQueueFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v", err)
	}
}

// fill emits until the first refusal.
func fill(t *testing.T, e *events.Emitter) (accepted int, err error) {
	t.Helper()
	for accepted < 1_000_000 {
		if err := e.Emit(context.Background(), numbered("ann", accepted)); err != nil {
			return accepted, err
		}
		accepted++
	}
	t.Fatal("nothing was refused")
	return accepted, nil
}

// TestEmitterRefusedByKafka: one event is too large for the topic. It is given up
// and told, the others arrive.
func TestEmitterRefusedByKafka(t *testing.T) {
	testkit.Kafka(t, testEmitterRefusedByKafka)
}

func testEmitterRefusedByKafka(t *testing.T, addr string) {
	topic := testkit.Topic(t, addr, testPartitions, "max.message.bytes", "20000")
	noLeaks(t)
	var dropped [][]byte
	e := newEmitter(t, config(addr, topic), events.EmitterDeps{OnDrop: func(record []byte, err error) {
		if !errors.Is(err, events.ErrRefused) {
			t.Errorf("dropped for %v", err)
		}
		dropped = append(dropped, record)
	}})
	for n := range 50 {
		if err := e.Emit(t.Context(), numbered("ann", n)); err != nil {
			t.Fatal(err)
		}
	}
	large := numbered("ann", 0)
	large.Content.Output = events.Text(strings.Repeat("x", 30_000))
	if err := e.EmitSync(testContext(t), large); !errors.Is(err, events.ErrRefused) {
		t.Errorf("EmitSync of it: %v", err)
	}
	for n := 50; n < 100; n++ {
		if err := e.Emit(t.Context(), numbered("ann", n)); err != nil {
			t.Fatal(err)
		}
	}
	closeEmitter(t, e)
	if s := e.Stats(); s.Rejected != 1 || s.Acked != 100 || len(dropped) != 1 || len(dropped[0]) < 30_000 {
		t.Errorf("%d dropped, %+v", len(dropped), s)
	}
	checkDelivered(t, readTopic(t, addr, topic), map[string]int{"ann": 100})
}

func TestEmitterMetrics(t *testing.T) {
	addr := testkit.EmbeddedKafka(t).Address
	topic := testkit.Topic(t, addr, testPartitions)
	noLeaks(t)
	reg := prometheus.NewPedanticRegistry()
	e := newEmitter(t, config(addr, topic), events.EmitterDeps{Metrics: reg})
	if _, err := events.NewEmitter(config(addr, topic), events.EmitterDeps{Metrics: reg}); err == nil {
		t.Error("two emitters on one registry without labels were not refused")
	}
	for n := range 3 {
		if err := e.EmitSync(testContext(t), numbered("ann", n)); err != nil {
			t.Fatal(err)
		}
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	acked := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == "acked" {
					acked = m.GetCounter().GetValue()
				}
			}
		}
	}
	if acked != 3 {
		t.Errorf("%v events are acked", acked)
	}
	closeEmitter(t, e)
	if families, err := reg.Gather(); err != nil || len(families) != 0 {
		t.Errorf("after Close: %v, %v", families, err)
	}
}

func TestEmitterConfigErrors(t *testing.T) {
	f := func(change func(*events.EmitterConfig), want string) {
		t.Helper()
		cfg := withSpool(config("127.0.0.1:1", "agent.events"), t.TempDir())
		change(&cfg)
		if _, err := events.NewEmitter(cfg, events.EmitterDeps{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	f(func(c *events.EmitterConfig) { c.Brokers = nil }, "Brokers")
	f(func(c *events.EmitterConfig) { c.Topic = "" }, "Topic")
	f(func(c *events.EmitterConfig) { c.SpoolKey = nil }, "SpoolKey")
	f(func(c *events.EmitterConfig) { c.SpoolMaxBytes = 1 << 20 }, "SpoolMaxBytes")
	f(func(c *events.EmitterConfig) { c.Compression = "brotli" }, "Compression")
	f(func(c *events.EmitterConfig) { c.SASL = &events.SASL{Mechanism: "GSSAPI"} }, "SASL")
	f(func(c *events.EmitterConfig) { c.MaxEventBytes = 2 << 20 }, "MaxEventBytes")
}

// TestEmitterDoesNotChangeRecords: a record may be used again, and gets another
// id each time.
func TestEmitterDoesNotChangeRecords(t *testing.T) {
	addr := testkit.EmbeddedKafka(t).Address
	topic := testkit.Topic(t, addr, testPartitions)
	e := newEmitter(t, config(addr, topic), events.EmitterDeps{})
	r := numbered("ann", 0)
	for range 3 {
		if err := e.Emit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if r.EventID != (events.UUID{}) || !r.Time.IsZero() || r.Producer != nil {
		t.Error("Emit changed the record")
	}
	closeEmitter(t, e)
	ids := make(map[string]bool)
	for _, rec := range readTopic(t, addr, topic) {
		ids[parseSent(t, rec).EventID] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d different ids, want 3", len(ids))
	}
}
