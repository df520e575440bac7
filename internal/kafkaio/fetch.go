package kafkaio

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// fetchVersion is the newest that kafka-go encodes. Brokers have it since Kafka 2.3.
const fetchVersion = 11

// fetched is a broker's answer for one partition.
type fetched struct {
	code          int16 // Kafka's error code, 0 if all is well
	highWatermark int64
	logStart      int64  // -1 with an error, from a real Kafka
	records       []byte // the record set; aliases the response
}

// fetchPlan is what does not change from one fetch of a partition to the next.
type fetchPlan struct {
	topic     string
	partition int
	maxBytes  int
	maxWait   time.Duration // how long the broker may wait for records
	patience  time.Duration // what the answer may take beyond that, and each further MiB of it
}

// fetch asks for the records at an offset and reads the answer into r. After an error the link must be closed.
func (l *link) fetch(p *fetchPlan, offset int64, r *response) (f fetched, err error) {
	if l.fetches.from > fetchVersion || l.fetches.to < fetchVersion {
		return f, fmt.Errorf("broker %s speaks fetch versions %d to %d, and %d is needed (Kafka 2.3 and later)", l.addr, l.fetches.from, l.fetches.to, fetchVersion)
	}
	// Without a deadline a connection that went dead without a word hangs for ever.
	if err := l.net.SetDeadline(time.Now().Add(p.maxWait + p.patience)); err != nil {
		return f, err
	}
	l.calls++
	// Records of aborted transactions are wanted too, and those of open ones must not hold up the partition: hence no isolation.
	err = protocol.WriteRequest(l.net, fetchVersion, l.calls, l.clientID, &fetch.Request{
		ReplicaID:    -1,
		MaxWaitTime:  int32(p.maxWait.Milliseconds()),
		MinBytes:     1,
		MaxBytes:     int32(p.maxBytes),
		SessionEpoch: -1, // no fetch session
		Topics: []fetch.RequestTopic{{
			Topic: p.topic,
			Partitions: []fetch.RequestPartition{{
				Partition:          int32(p.partition),
				CurrentLeaderEpoch: -1,
				FetchOffset:        offset,
				LogStartOffset:     -1,
				PartitionMaxBytes:  int32(p.maxBytes),
			}},
		}},
	})
	if err != nil {
		return f, fmt.Errorf("send fetch to broker %s: %w", l.addr, err)
	}
	var size [4]byte
	if _, err := io.ReadFull(l.net, size[:]); err != nil {
		return f, fmt.Errorf("read from broker %s: %w", l.addr, err)
	}
	if err := r.read(l.net, int(int32(binary.BigEndian.Uint32(size[:]))), p.patience); err != nil {
		return f, fmt.Errorf("read from broker %s: %w", l.addr, err)
	}
	if f, err = parseFetched(r.buf, l.calls, p); err != nil {
		return f, fmt.Errorf("answer of broker %s: %w", l.addr, err)
	}
	return f, nil
}

// parseFetched reads the answer to a fetch of one partition, version 11.
func parseFetched(b []byte, call int32, p *fetchPlan) (f fetched, err error) {
	a := answer{b: b, ok: true}
	if id := a.int32(); a.ok && id != call {
		return f, fmt.Errorf("it is for request %d instead of %d", id, call)
	}
	a.int32() // throttled for
	code := a.int16()
	a.int32() // session
	for range a.count() {
		name := a.take(int(a.int16()))
		for range a.count() {
			partition := a.int32()
			one := fetched{code: a.int16(), highWatermark: a.int64()}
			a.int64() // last stable offset
			one.logStart = a.int64()
			for range a.count() { // aborted transactions
				a.take(16)
			}
			a.int32() // preferred replica
			one.records = a.take(max(int(a.int32()), 0))
			if !a.ok {
				return f, io.ErrUnexpectedEOF
			}
			if string(name) == p.topic && int(partition) == p.partition {
				if one.code == 0 {
					one.code = code
				}
				return one, nil
			}
		}
	}
	if !a.ok {
		return f, io.ErrUnexpectedEOF
	}
	if code != 0 {
		return fetched{code: code, logStart: -1}, nil
	}
	return f, fmt.Errorf("it does not have %s/%d", p.topic, p.partition)
}

// answer reads big-endian fields off b.
type answer struct {
	b  []byte
	ok bool // false once b was too short
}

func (a *answer) take(n int) []byte {
	if n < 0 || n > len(a.b) {
		a.ok, a.b = false, nil
		return nil
	}
	v := a.b[:n:n]
	a.b = a.b[n:]
	return v
}

func (a *answer) int16() int16 {
	if v := a.take(2); v != nil {
		return int16(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (a *answer) int32() int32 {
	if v := a.take(4); v != nil {
		return int32(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (a *answer) int64() int64 {
	if v := a.take(8); v != nil {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

// count reads the length of an array, which is at most the bytes that follow. -1 is Kafka's null.
func (a *answer) count() int {
	n := int(a.int32())
	if n > len(a.b) {
		a.ok = false
		return 0
	}
	return max(n, 0)
}
