package kafkaio_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// following is a Follow under test.
type following struct {
	t      *testing.T
	out    chan *kafkaio.Batch
	failed chan error
	cancel context.CancelFunc
	next   int64
}

func follow(t *testing.T, c *kafkaio.Client, topic string, from int64) *following {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	f := &following{t: t, out: make(chan *kafkaio.Batch), failed: make(chan error, 1), cancel: cancel, next: from}
	go func() { f.failed <- c.Follow(ctx, topic, 0, from, f.out) }()
	return f
}

// until takes batches until the next offset is n.
func (f *following) until(n int64) {
	f.t.Helper()
	for f.next < n {
		select {
		case b := <-f.out:
			for i := range b.Records {
				if b.Records[i].Offset != f.next {
					f.t.Fatalf("offset %d came instead of %d", b.Records[i].Offset, f.next)
				}
				f.next++
			}
			b.Release()
		case err := <-f.failed:
			f.t.Fatalf("at %d of %d: Follow returned %v", f.next, n, err)
		}
	}
}

// err waits for Follow to return by itself.
func (f *following) err() error {
	f.t.Helper()
	defer f.cancel()
	select {
	case b := <-f.out:
		f.t.Fatalf("a batch of %d records came, up to %d, instead of an error", len(b.Records), b.Next)
	case err := <-f.failed:
		return err
	}
	return nil
}

func (f *following) end() {
	f.t.Helper()
	f.cancel()
	if err := <-f.failed; err != nil {
		f.t.Errorf("Follow returned %v when its context ended", err)
	}
}

func TestFollowGap(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		produce(t, addr, numbered(topic, 0, 100, 50))
		testkit.DeleteRecords(t, addr, topic, 0, 60)
		c := newClient(t, addr, nil)
		f := func(err error, wanted int64) {
			t.Helper()
			var gap *kafkaio.OffsetError
			if !errors.Is(err, kafkaio.ErrGap) || !errors.As(err, &gap) || errors.Is(err, kafkaio.ErrRewind) {
				t.Fatalf("got %v, want a gap", err)
			}
			want := kafkaio.OffsetError{Kind: kafkaio.ErrGap, Topic: topic, Partition: 0, Wanted: wanted, Start: 60, End: 100}
			if *gap != want {
				t.Errorf("got %+v, want %+v", *gap, want)
			}
		}
		f(follow(t, c, topic, 0).err(), 0)
		f(follow(t, c, topic, 59).err(), 59)
		ok := follow(t, c, topic, 60)
		ok.until(100)
		ok.end()
		start, end, err := c.Offsets(t.Context(), topic, 0)
		if err != nil || start != 60 || end != 100 {
			t.Errorf("offsets are %d to %d, %v", start, end, err)
		}
	})
}

// Records deleted while following, faster than they are read.
func TestFollowGapWhileFollowing(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		produce(t, addr, numbered(topic, 0, 10, 50))
		proxy := testkit.NewProxy(t, addr)
		c := newClient(t, addr, func(_ *kafkaio.Config, deps *kafkaio.Deps) { deps.Dial = proxy.Dial })
		f := follow(t, c, topic, 0)
		f.until(10)
		proxy.Refuse()
		produce(t, addr, numbered(topic, 0, 90, 50))
		testkit.DeleteRecords(t, addr, topic, 0, 70)
		proxy.Heal()
		var gap *kafkaio.OffsetError
		if err := f.err(); !errors.As(err, &gap) || !errors.Is(err, kafkaio.ErrGap) || gap.Wanted != 10 || gap.Start != 70 {
			t.Errorf("got %v", err)
		}
	})
}

func TestFollowRewind(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		produce(t, addr, numbered(topic, 0, 10, 50))
		c := newClient(t, addr, nil)
		var rewind *kafkaio.OffsetError
		if err := follow(t, c, topic, 11).err(); !errors.As(err, &rewind) || !errors.Is(err, kafkaio.ErrRewind) || rewind.Wanted != 11 || rewind.End != 10 {
			t.Errorf("got %v", err)
		}
		// The end itself is no rewind.
		f := follow(t, c, topic, 10)
		produce(t, addr, numbered(topic, 0, 1, 50))
		f.until(11)
		f.end()
	})
}

// A topic that is made anew while we are cut off from it is noticed, whether the offset exists in it or not.
func TestFollowNoticesARecreatedTopic(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		for _, records := range []int{0, 5, 10, 25} {
			t.Run(fmt.Sprint(records), func(t *testing.T) {
				noLeaks(t)
				topic := testkit.Topic(t, addr, 1)
				produce(t, addr, numbered(topic, 0, 10, 50))
				proxy := testkit.NewProxy(t, addr)
				c := newClient(t, addr, func(_ *kafkaio.Config, deps *kafkaio.Deps) { deps.Dial = proxy.Dial })
				f := follow(t, c, topic, 0)
				f.until(10)
				proxy.Refuse()
				testkit.DeleteTopic(t, addr, topic)
				testkit.MakeTopic(t, addr, topic, 1)
				if records > 0 {
					produce(t, addr, numbered(topic, 0, records, 51))
				}
				proxy.Heal()
				if err := f.err(); !errors.Is(err, kafkaio.ErrRewind) {
					t.Errorf("got %v", err)
				}
			})
		}
	})
}

func TestRecordAt(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		topic := testkit.Topic(t, addr, 1)
		records := numbered(topic, 0, 500, 200)
		produce(t, addr, records, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
		testkit.DeleteRecords(t, addr, topic, 0, 100)
		c := newClient(t, addr, nil)
		for offset, want := range map[int64]bool{0: false, 99: false, 100: true, 101: true, 333: true, 499: true, 500: false, 501: false, 1 << 40: false} {
			r, ok, err := c.RecordAt(t.Context(), topic, 0, offset)
			if err != nil || ok != want || ok && (r.Offset != offset || string(r.Value) != string(records[offset].Value)) {
				t.Errorf("RecordAt(%d) = %d, %v, %v", offset, r.Offset, ok, err)
			}
		}
		if _, _, err := c.RecordAt(t.Context(), "no-such-topic", 0, 0); !errors.Is(err, kafkaio.ErrNoTopic) {
			t.Errorf("of a topic that does not exist: %v", err)
		}
		if _, _, err := c.RecordAt(t.Context(), topic, 1, 0); !errors.Is(err, kafkaio.ErrNoTopic) {
			t.Errorf("of a partition that does not exist: %v", err)
		}
	})
}
