package kafkaio_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/agentaudit/agentaudit/internal/kafkaio"
	"github.com/agentaudit/agentaudit/internal/testkit"
)

// rawProduce sends a record set as it is and returns Kafka's error code.
func rawProduce(t *testing.T, addr, topic string, set []byte) int16 {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V3_0_0())) // newer ones name topics by id
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrProduceRequest()

	req.Acks, req.TimeoutMillis = -1, 10_000
	one := kmsg.NewProduceRequestTopic()
	one.Topic = topic
	one.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: set}}
	req.Topics = append(req.Topics, one)
	res, err := client.Broker(0).RetriableRequest(t.Context(), req)
	if err != nil {
		res, err = client.Broker(1).RetriableRequest(t.Context(), req)
	}
	if err != nil {
		t.Logf("produce: %v", err)
		return -1
	}
	return res.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
}

// What a hostile producer writes neither ends this process nor disappears: the broker refuses it (Apache Kafka), or the partition stops there
// (the embedded broker looks at the checksum only). Records before the bad one are delivered.
func TestFollowHostileBatches(t *testing.T) {
	testkit.Kafka(t, func(t *testing.T, addr string) {
		noLeaks(t)
		f := func(name string, count int32, record []byte) {
			t.Run(name, func(t *testing.T) {
				topic := testkit.Topic(t, addr, 1)
				produce(t, addr, numbered(topic, 0, 3, 50))
				batch := kmsg.RecordBatch{Magic: 2, LastOffsetDelta: max(count-1, 0), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: count,
					FirstTimestamp: 1_700_000_000_000, MaxTimestamp: 1_700_000_000_000,
					Records: append(binary.AppendVarint(nil, int64(len(record))), record...)}
				set := batch.AppendTo(nil)
				binary.BigEndian.PutUint32(set[8:], uint32(len(set)-12))
				binary.BigEndian.PutUint32(set[17:], crc32.Checksum(set[21:], crc32.MakeTable(crc32.Castagnoli)))
				code := rawProduce(t, addr, topic, set)
				produce(t, addr, numbered(topic, 0, 1, 50))
				c := newClient(t, addr, nil)
				f := follow(t, c, topic, 0)
				f.until(3)
				if code != 0 {
					t.Logf("refused with code %d", code)
					f.until(4)
					f.end()
					return
				}
				var corrupt *kafkaio.CorruptError
				if err := f.err(); !errors.As(err, &corrupt) || corrupt.Offset < 3 || corrupt.Offset > 4 {
					t.Errorf("got %v", err)
				}
			})
		}
		good := []byte{0, 0, 0, 1, 2, 'v', 0}
		f("a negative count", -2, good)
		f("more records than there are", 5, good)
		f("a count for gigabytes", 1<<31-1, good)
		f("a huge number of headers", 1, binary.AppendVarint([]byte{0, 0, 0, 1, 1}, 1<<62))
		f("a record that breaks off", 1, good[:4])
	})
}
