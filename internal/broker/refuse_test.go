package broker_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// rawClient sends requests as they are made, with topics by name.
func rawClient(t *testing.T, address string) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.MaxVersions(kversion.V3_8_0()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// Names that Kafka does not take are refused one by one; the others of the request are made.
func TestTopicNames(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, address string) {
		client := rawClient(t, address)
		f := func(good bool, names ...string) {
			t.Helper()
			other := fmt.Sprintf("beside-%d", time.Now().UnixNano())
			req := kmsg.NewPtrCreateTopicsRequest()
			for _, name := range append(names, other) {
				one := kmsg.NewCreateTopicsRequestTopic()
				one.Topic, one.NumPartitions, one.ReplicationFactor = name, 1, 1
				req.Topics = append(req.Topics, one)
			}
			defer testkit.DeleteTopic(t, address, other)
			res, err := req.RequestWith(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			if len(res.Topics) != len(req.Topics) {
				t.Fatalf("%d answers for %d topics", len(res.Topics), len(req.Topics))
			}
			for _, topic := range res.Topics {
				want := kerr.InvalidTopicException.Code
				if good || topic.Topic == other {
					want = 0
				}
				if topic.Topic == "" && topic.ErrorCode != 0 {
					continue // the embedded broker says that the number of partitions is wrong
				}
				if topic.ErrorCode != want {
					t.Errorf("%q: error %v, want %v", topic.Topic, kerr.ErrorForCode(topic.ErrorCode), kerr.ErrorForCode(want))
				}
				if good {
					testkit.DeleteTopic(t, address, topic.Topic)
				}
			}
		}
		f(true, "Good-1.topic_", strings.Repeat("n", 249))
		f(false, "a/b", "../up")
		f(false, ".", "..", "with space", "ünicode", "nul\x00")
		f(false, "", strings.Repeat("n", 250))
	})
}

// rawBatch is a record batch of n records that claims others. After the claims its checksum is right.
func rawBatch(n int, compressed bool, claim func(*kmsg.RecordBatch)) []byte {
	var records []byte
	for i := range n {
		r := kmsg.Record{OffsetDelta: int32(i), Value: fmt.Appendf(nil, "record %d", i)}
		body := r.AppendTo(nil)[1:] // after its length, which fits a byte
		records = append(binary.AppendVarint(records, int64(len(body))), body...)
	}
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: int32(n - 1), FirstTimestamp: 1000, MaxTimestamp: 1000,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(n), Records: records}
	if compressed {
		w, _ := zstd.NewWriter(nil)
		b.Attributes, b.Records = 4, w.EncodeAll(records, nil)
	}
	claim(&b)
	b.Length = int32(49 + len(b.Records))
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// A batch is not taken if its records are not those that it announces: no consumer could read it, nor what comes after it.
func TestBatchesThatLie(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, address string) {
		topic := testkit.Topic(t, address, 2)
		client := rawClient(t, address)
		next := int64(0) // of partition 0
		good, other := &kerr.Error{}, &kerr.Error{Code: -2}
		f := func(name string, want *kerr.Error, batch []byte) {
			t.Helper()
			req := kmsg.NewPtrProduceRequest()
			req.Acks, req.TimeoutMillis = -1, 10_000
			one := kmsg.NewProduceRequestTopic()
			one.Topic = topic
			for i, records := range [][]byte{batch, rawBatch(1, false, func(*kmsg.RecordBatch) {})} {
				part := kmsg.NewProduceRequestTopicPartition()
				part.Partition, part.Records = int32(i), records
				one.Partitions = append(one.Partitions, part)
			}
			req.Topics = append(req.Topics, one)
			res, err := req.RequestWith(t.Context(), client)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, part := range res.Topics[0].Partitions {
				switch {
				case part.Partition == 1 || want == good:
					if part.ErrorCode != 0 {
						t.Errorf("%s: partition %d: %v", name, part.Partition, kerr.ErrorForCode(part.ErrorCode))
					}
					if part.Partition == 0 && part.BaseOffset != next {
						t.Errorf("%s: stored at %d, want %d", name, part.BaseOffset, next)
					}
				default:
					if part.ErrorCode == 0 || want != other && part.ErrorCode != want.Code {
						t.Errorf("%s: error %v, want %v", name, kerr.ErrorForCode(part.ErrorCode), want)
					}
				}
			}
			if want == good {
				next += 3
			}
		}
		for _, compressed := range []bool{false, true} {
			f("as it should be", good, rawBatch(3, compressed, func(*kmsg.RecordBatch) {}))
			f("more records than there are", kerr.InvalidRecord, rawBatch(3, compressed, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 5, 4 }))
			f("very many", kerr.InvalidRecord, rawBatch(3, compressed, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1<<31-1, 1<<31-2 }))
			f("fewer", kerr.InvalidRecord, rawBatch(3, compressed, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 2, 1 }))
			f("none", kerr.InvalidRecord, rawBatch(3, compressed, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 0, -1 }))
			f("a negative number", kerr.InvalidRecord, rawBatch(3, compressed, func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = -3, -4 }))
			f("another last offset", kerr.InvalidRecord, rawBatch(3, compressed, func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 9 }))
			f("as it should be, after those", good, rawBatch(3, compressed, func(*kmsg.RecordBatch) {}))
		}
		f("bytes that do not unpack", other, rawBatch(3, false, func(b *kmsg.RecordBatch) { b.Attributes = 4 }))
		damaged := rawBatch(3, false, func(*kmsg.RecordBatch) {})
		damaged[len(damaged)-1] ^= 1
		f("damaged on the way", kerr.CorruptMessage, damaged)
		// What was taken can be read to its end.
		consumer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
		if err != nil {
			t.Fatal(err)
		}
		defer consumer.Close()
		for read := int64(0); read < next; {
			fetches := consumer.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				t.Fatal(err)
			}
			read += int64(fetches.NumRecords())
		}
	})
}
