package emit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/sample"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/events"
)

const partitions = 3

func newClient(t *testing.T, addr string) *kafkaio.Client {
	t.Helper()
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{addr}
	c, err := kafkaio.New(cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// consume reads so many records of a topic with another client library.
func consume(t *testing.T, addr, topic string, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var all []*kgo.Record
	for len(all) < n {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { all = append(all, r) })
		if ctx.Err() != nil {
			t.Fatalf("%d records of %d came", len(all), n)
		}
	}
	return all
}

// TestLines sends valid and invalid lines: the valid ones arrive as they are, each
// user's in order, the others are named.
func TestLines(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, partitions)
		client := newClient(t, addr)
		var input bytes.Buffer
		want := make(map[string][]string)
		gen, err := sample.NewBench(1, 20, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		const n = 20_000
		invalid := 0
		for i := range n {
			line := gen.AppendJSON(nil)
			key := string(gen.AppendKey(nil))
			want[key] = append(want[key], string(line))
			input.Write(line)
			if i%7 == 0 {
				input.WriteByte('\r')
			}
			input.WriteByte('\n')
			switch i % 1000 {
			case 10:
				input.WriteString("\n  \n") // blank lines are nothing
			case 20:
				input.WriteString("{\"schema\":\n")
				invalid++
			case 30:
				fmt.Fprintf(&input, "%s\n", strings.Replace(string(line), `"tool.call"`, `"alert.x"`, 1))
				if bytes.Contains(line, []byte(`"tool.call"`)) {
					invalid++
				} else {
					want[key] = append(want[key], string(line))
				}
			}
		}
		sent := 0
		for _, lines := range want {
			sent += len(lines)
		}
		var steps []int64
		result, err := Lines(t.Context(), bytes.NewReader(bytes.TrimSuffix(input.Bytes(), []byte{'\n'})), Config{
			Kafka: client, Topic: topic, Progress: func(r Result) { steps = append(steps, r.Sent) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if result.Sent != int64(sent) || result.Refused != int64(invalid) || result.Lines != int64(sent+invalid) || len(result.Refusals) != invalid {
			t.Errorf("%d sent, %d refused of %d lines (%d refusals), want %d and %d", result.Sent, result.Refused, result.Lines, len(result.Refusals), sent, invalid)
		}
		if len(steps) < 2 || steps[len(steps)-1] != result.Sent {
			t.Errorf("progress: %v", steps)
		}
		got := make(map[string][]string)
		of := make(map[string]int32)
		for _, r := range consume(t, addr, topic, sent) {
			key := string(r.Key)
			if p, ok := of[key]; ok && p != r.Partition {
				t.Fatalf("%s is in partitions %d and %d", key, p, r.Partition)
			}
			of[key] = r.Partition
			got[key] = append(got[key], string(r.Value))
		}
		for key, lines := range want {
			if strings.Join(got[key], "\n") != strings.Join(lines, "\n") {
				t.Errorf("%s: %d lines came, %d were sent, or not in order", key, len(got[key]), len(lines))
			}
		}
	})
}

// TestRefusals: each line has its number and a reason that quotes nothing.
func TestRefusals(t *testing.T) {
	addr := testkit.EmbeddedKafka(t).Address
	topic := testkit.Topic(t, addr, partitions)
	good := string(oneEvent(t))
	input := strings.Join([]string{
		good,
		"",
		`{"schema":"agentaudit.event/v1","user_id":"secret"}`,
		good,
		"secret",
		strings.Repeat("s", 2<<20),
		strings.Repeat("s", MaxLineBytes+1),
		strings.Replace(good, "tool.call", "gdpr.erased", 1),
		good,
	}, "\n")
	result, err := Lines(t.Context(), strings.NewReader(input), Config{Kafka: newClient(t, addr), Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	if result.Sent != 3 || result.Refused != 5 || result.Lines != 8 {
		t.Fatalf("%+v", result)
	}
	for i, line := range []int64{3, 5, 6, 7, 8} {
		r := result.Refusals[i]
		if r.Line != line || r.Reason == "" || strings.Contains(r.String(), "secret") {
			t.Errorf("%s, want one for line %d", r, line)
		}
	}
}

func oneEvent(t *testing.T) []byte {
	t.Helper()
	b, err := (&events.Record{
		EventID: events.NewUUID(time.Now()), Time: time.Now(), Type: "tool.call", Action: "call",
		Outcome: events.Success, Tenant: "acme", UserID: "ann",
	}).AppendJSON(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSendRaw: every line is sent as it is.
func TestSendRaw(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		topic := testkit.Topic(t, addr, 1, "max.message.bytes", "8000000")
		lines := []string{
			string(oneEvent(t)), "", "not json", "\xff\x00", strings.Repeat("x", 1<<20+1), strings.Repeat("x", MaxLineBytes), "with end\r",
		}
		result, err := Lines(t.Context(), strings.NewReader(strings.Join(lines, "\n")+"\n"), Config{
			Kafka: newClient(t, addr), Topic: topic, Invalid: SendRaw,
		})
		if err != nil {
			t.Fatal(err)
		}
		if result.Sent != int64(len(lines)) || result.Refused != 0 {
			t.Errorf("%d sent, %d refused", result.Sent, result.Refused)
		}
		for i, r := range consume(t, addr, topic, len(lines)) {
			if string(r.Value) != lines[i] {
				t.Errorf("line %d came with %d bytes, had %d", i+1, len(r.Value), len(lines[i]))
			}
			if i == 0 && string(r.Key) != "acme/ann" || i > 0 && r.Key != nil {
				t.Errorf("line %d has key %q", i+1, r.Key)
			}
		}
	})
}

// failing gives some lines and then an error.
type failing struct {
	lines io.Reader
	err   error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.lines.Read(b)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

// TestFailures: broken input, a missing topic and an interruption end it with an
// error, and leave no goroutine.
func TestFailures(t *testing.T) {
	addr := testkit.EmbeddedKafka(t).Address
	topic := testkit.Topic(t, addr, partitions)
	client := newClient(t, addr)
	before := goleak.IgnoreCurrent()
	line := append(oneEvent(t), '\n')

	broken := errors.New("disk")
	_, err := Lines(t.Context(), &failing{bytes.NewReader(line), broken}, Config{Kafka: client, Topic: topic})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("broken input: %v", err)
	}
	_, err = Lines(t.Context(), bytes.NewReader(line), Config{Kafka: client, Topic: "missing"})
	if !errors.Is(err, kafkaio.ErrNoTopic) {
		t.Errorf("missing topic: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result, err := Lines(ctx, &endless{line: line}, Config{Kafka: client, Topic: topic, Progress: func(r Result) {
		if r.Sent > 10_000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || result.Sent <= 10_000 {
		t.Errorf("interrupted: %v after %d", err, result.Sent)
	}
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/segmentio/kafka-go.(*conn).run"),
		goleak.IgnoreAnyFunction("github.com/segmentio/kafka-go.(*connPool).discover"))
}

// endless repeats a line.
type endless struct {
	line []byte
	at   int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		c := copy(b[n:], e.line[e.at:])
		n += c
		e.at = (e.at + c) % len(e.line)
	}
	return n, nil
}

// TestRealEvents sends the real agent events.
func TestRealEvents(t *testing.T) {
	f, err := os.Open(testkit.SharedData(t, "agent-traffic/airline.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	addr := testkit.EmbeddedKafka(t).Address
	topic := testkit.Topic(t, addr, partitions)
	result, err := Lines(t.Context(), f, Config{Kafka: newClient(t, addr), Topic: topic})
	if err != nil {
		t.Fatal(err)
	}
	if result.Sent != 4034 || result.Refused != 0 {
		t.Fatalf("%d sent, %d refused: %v", result.Sent, result.Refused, result.Refusals)
	}
	ids := make(map[string]bool)
	for _, r := range consume(t, addr, topic, 4034) {
		var ev struct {
			ID   string `json:"event_id"`
			User string `json:"user_id"`
		}
		if err := json.Unmarshal(r.Value, &ev); err != nil {
			t.Fatal(err)
		}
		if string(r.Key) != "airline/"+ev.User {
			t.Fatalf("key %q", r.Key)
		}
		ids[ev.ID] = true
	}
	if len(ids) != 4034 {
		t.Errorf("%d different ids", len(ids))
	}
}

// BenchmarkLines sends 470-byte events to the embedded broker, in another process.
func BenchmarkLines(b *testing.B) {
	addr := testkit.EmbeddedKafka(b).Address
	topic := testkit.Topic(b, addr, 4)
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{addr}
	client, err := kafkaio.New(cfg, kafkaio.Deps{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	const n = 200_000
	gen, err := sample.NewBench(1, 10_000, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	var input []byte
	for range n {
		input = append(gen.AppendJSON(input), '\n')
	}
	runtime.GC()
	b.ReportAllocs()
	for b.Loop() {
		result, err := Lines(b.Context(), bytes.NewReader(input), Config{Kafka: client, Topic: topic})
		if err != nil || result.Sent != n {
			b.Fatal(result.Sent, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
