package broker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

// opened is a broker in this process, without its housekeeping.
type opened struct {
	*retention
	client *kgo.Client
	close  func()
}

func openHere(t *testing.T, dir string, topic Topic) *opened {
	t.Helper()
	cfg, err := Config{Dir: dir, Listen: "127.0.0.1:0"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, storeDir)
	log := slog.New(slog.DiscardHandler)
	if err := recoverStore(store, log); err != nil {
		t.Fatal(err)
	}
	cluster, address, err := open(&cfg, store, make(chan error, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := createTopics(cluster, []Topic{topic}, log); err != nil {
		t.Fatal(err)
	}
	tr, err := newTracker(cluster, store)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DefaultProduceTopic(topic.Name))
	if err != nil {
		t.Fatal(err)
	}
	o := &opened{retention: newRetention(cluster, tr, store, address, log), client: client}
	o.close = func() {
		client.Close()
		cluster.Close()
		if err := tr.closed(); err != nil {
			t.Error(err)
		}
	}
	return o
}

func (o *opened) produce(t *testing.T, n int) (last int64) {
	t.Helper()
	for range n {
		r, err := o.client.ProduceSync(context.Background(), &kgo.Record{Value: make([]byte, 1000)}).First()
		if err != nil {
			t.Fatal(err)
		}
		last = r.Offset
	}
	return last
}

func (o *opened) range_(topic string) string {
	i := o.cluster.PartitionInfo(topic, 0)
	return fmt.Sprintf("%d-%d", i.LogStartOffset, i.HighWatermark)
}

// Retention takes everything that is old, the last segment too, and the partition goes on at its
// offset after a restart.
func TestRetentionByAge(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	topic := Topic{Name: "a", Partitions: 1, RetentionMillis: 24 * 3600 * 1000}
	o := openHere(t, dir, topic)
	o.produce(t, 5)
	ctx := context.Background()
	if err := o.apply(ctx, time.Now().Add(23*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := o.range_("a"); got != "0-5" {
		t.Errorf("before its time: %s", got)
	}
	if err := o.apply(ctx, time.Now().Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := o.range_("a"); got != "5-5" {
		t.Errorf("after its time: %s", got)
	}
	if files, err := listSegments(partitionDir(o.dir, "a", 0)); err != nil || len(files) != 0 {
		t.Errorf("files are left: %v %v", files, err)
	}
	if err := o.apply(ctx, time.Now().Add(26*time.Hour)); err != nil {
		t.Fatal(err)
	}
	o.close()

	o = openHere(t, dir, topic)
	defer o.close()
	if got := o.range_("a"); got != "5-5" {
		t.Errorf("after a restart: %s", got)
	}
	if last := o.produce(t, 1); last != 5 {
		t.Errorf("next offset %d", last)
	}
}

// A segment that still grows is closed in time, so that its oldest records can go.
func TestRetentionRolls(t *testing.T) {
	topic := Topic{Name: "a", Partitions: 1, RetentionMillis: 24 * 3600 * 1000}
	o := openHere(t, t.TempDir(), topic)
	defer o.close()
	o.produce(t, 3)
	done := make(chan error)
	go func() { done <- o.apply(context.Background(), time.Now().Add(3*time.Hour)) }()
	var err error
	for ended := false; !ended; {
		o.produce(t, 1)
		select {
		case err = <-done:
			ended = true
		default:
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	files, err := listSegments(partitionDir(o.dir, "a", 0))
	if err != nil || len(files) < 2 {
		t.Fatalf("segments %v, %v", files, err)
	}
	n := len(files)
	o.produce(t, 20)
	if files, err = listSegments(partitionDir(o.dir, "a", 0)); err != nil || len(files) > n+1 {
		t.Errorf("it goes on beginning segments: %d after %d, %v", len(files), n, err)
	}
}

// By size, whole segments go, never the last.
func TestRetentionBySize(t *testing.T) {
	topic := Topic{Name: "a", Partitions: 1, RetentionBytes: 40 << 20}
	o := openHere(t, t.TempDir(), topic)
	defer o.close()
	const size = 900_000
	for range 75 {
		o.client.Produce(context.Background(), &kgo.Record{Value: incompressible(size)}, nil)
		if err := o.client.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.apply(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	files, err := listSegments(partitionDir(o.dir, "a", 0))
	total := int64(0)
	for _, f := range files {
		total += f.sizeBytes
	}
	if err != nil || total > topic.RetentionBytes || total < topic.RetentionBytes-2*segmentBytes {
		t.Fatalf("%d bytes in %d segments are left, %v", total, len(files), err)
	}
	if info := o.cluster.PartitionInfo("a", 0); info.LogStartOffset != files[0].base || info.LogStartOffset == 0 || info.HighWatermark != 75 {
		t.Errorf("%+v, segments %v", info, files)
	}
}

func incompressible(n int) []byte {
	b := make([]byte, n)
	x := uint64(1)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}
