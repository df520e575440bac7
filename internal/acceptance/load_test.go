package acceptance

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// load sends events and remembers which ones were acknowledged.
type load struct {
	client *kafkaio.Client
	topic  string

	mu     sync.Mutex
	acked  []string // event ids
	failed int      // batches that were not acknowledged; they may be there all the same
}

func newLoad(t *testing.T, u *uptest.Up) *load {
	t.Helper()
	endpoints := u.Endpoints(t)
	cfg := kafkaio.DefaultConfig()
	cfg.Brokers = []string{endpoints.Kafka}
	client, err := kafkaio.New(cfg, kafkaio.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &load{client: client, topic: endpoints.Topic}
}

// eventJSON is a small event of user n.
func eventJSON(id string, n int) []byte {
	return fmt.Appendf(nil, `{"schema":"agentaudit.event/v1","event_id":"%s","time":"%s","type":"tool.call","action":"call","outcome":"success","tenant":"acme","user_id":"user-%d","session_id":"s-%d","tool":{"name":"search"},"content":{"input":"hello from %d"}}`,
		id, time.Now().UTC().Format(time.RFC3339Nano), n, n, n)
}

// send sends n records, every fiftieth of which is no event, and notes what was acknowledged.
func (l *load) send(ctx context.Context, n int) error {
	ids := make([]string, 0, n)
	messages := make([]kafkaio.Message, n)
	for i := range messages {
		id := uuid.NewString()
		messages[i].Value = eventJSON(id, i%97)
		messages[i].Key = fmt.Appendf(nil, "acme/user-%d", i%97)
		if i%50 == 49 {
			messages[i].Value = messages[i].Value[:40]
			continue
		}
		ids = append(ids, id)
	}
	err := l.client.Produce(ctx, l.topic, messages)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed++
		return err
	}
	l.acked = append(l.acked, ids...)
	return nil
}

// run sends batches until ctx ends, whatever happens to the broker.
func (l *load) run(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = l.send(ctx, 50) // counted; the next batch is another one
		case <-ctx.Done():
			return
		}
	}
}

// number runs a query that returns one number.
func number(t *testing.T, u *uptest.Up, sql string) int64 {
	t.Helper()
	text := u.Good(t, "", "query", sql, "--format", "TabSeparated")
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		t.Fatalf("%s: %q", sql, text)
	}
	return n
}

// partitions of the topic in these tests: the default of `agentaudit up`.
const partitions = 4

// awaitSealed waits until every record of the topic is in a log.
func (l *load) awaitSealed(t *testing.T, u *uptest.Up) {
	t.Helper()
	testkit.Eventually(t, 3*time.Minute, func() bool {
		for p := range partitions {
			start, end, err := l.client.Offsets(t.Context(), l.topic, p)
			if err != nil {
				return false
			}
			if end == start {
				continue
			}
			r := u.Run(t, "", "query", fmt.Sprintf("SELECT max(kafka_offset) FROM events WHERE log = '%s/%d'", l.topic, p), "--format", "TabSeparated")
			if last, err := strconv.ParseInt(strings.TrimSpace(r.Stdout), 10, 64); r.Code != 0 || err != nil || last < end-1 {
				return false
			}
		}
		return true
	}, "every record sealed")
}

// check holds the store against the topic: each offset once, and every acknowledged event.
func (l *load) check(t *testing.T, u *uptest.Up) {
	t.Helper()
	l.awaitSealed(t, u)
	var records int64
	for p := range partitions {
		start, end, err := l.client.Offsets(t.Context(), l.topic, p)
		if err != nil {
			t.Fatal(err)
		}
		where := fmt.Sprintf("FROM events WHERE log = '%s/%d' AND kind IN ('event', 'rejected')", l.topic, p)
		entries, distinct := number(t, u, "SELECT count() "+where), number(t, u, "SELECT uniqExact(kafka_offset) "+where)
		if entries != end-start || distinct != entries {
			t.Errorf("partition %d: %d records, %d entries, %d offsets", p, end-start, entries, distinct)
		}
		records += end - start
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := map[string]bool{}
	for id := range strings.Lines(u.Good(t, "", "query", "SELECT event_id FROM events WHERE kind = 'event'", "--format", "TabSeparated") + "\n") {
		stored[strings.TrimSpace(id)] = true
	}
	missing := 0
	for _, id := range l.acked {
		if !stored[id] {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d acknowledged events are missing", missing, len(l.acked))
	}
	published, checkpoints := l.published(t)
	r := u.Run(t, "", "verify", "--checkpoint", published)
	if r.Code != 0 {
		t.Errorf("verify: exit code %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	t.Logf("%d records, %d acknowledged events, %d batches without an answer: all sealed once, verify good, as all %d published checkpoints say", records, len(l.acked), l.failed, checkpoints)
}

// checkpointTopic is where the exporter publishes.
const checkpointTopic = "audit.checkpoints"

// published writes all checkpoints that were ever published to a file. Whatever was killed, none of them may say something else than the logs: two of one
// size, or one over entries that are not there.
func (l *load) published(t *testing.T) (file string, n int) {
	t.Helper()
	start, end, err := l.client.Offsets(t.Context(), checkpointTopic, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	batches, done := make(chan *kafkaio.Batch), make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		_ = l.client.Follow(ctx, checkpointTopic, 0, start, batches)
	}()
	var notes []byte
	for next := start; next < end; {
		batch := <-batches
		for i := range batch.Records {
			notes = append(append(notes, batch.Records[i].Value...), '\n')
			n++
		}
		next = batch.Next
		batch.Release()
	}
	cancel()
	<-done
	if n == 0 {
		t.Fatal("no checkpoint was published")
	}
	file = filepath.Join(t.TempDir(), "published")
	if err := os.WriteFile(file, notes, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, n
}
