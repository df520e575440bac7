package main

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// logMaker makes a log as ingest would seal it: an open entry, then events without
// content, about 500 bytes each, in a chain of their own. It is much faster than
// sealing events, since nothing is parsed and nobody is looked up.
type logMaker struct {
	header chain.Header
	entry  []byte
	leaf   chain.Hash
	next   int64 // Kafka offset
	micros int64
	hasher *chain.Hasher
	rng    *rand.Rand
	body   []byte
	object []byte // the event in body
	person events.UUID
}

func newLogMaker(log string) *logMaker {
	return &logMaker{
		header: chain.Header{Log: log}, hasher: chain.NewHasher(), rng: rand.New(rand.NewPCG(1, 2)),
		micros: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro(),
	}
}

// benchEpoch is the month of logMaker's entries.
const benchEpoch = 202611

// open makes entry 0.
func (m *logMaker) open(deployment string) error {
	topic, partition, _, err := chain.ParseLog(m.header.Log)
	if err != nil {
		return err
	}
	m.header.Kind, m.header.Source = chain.KindControl, chain.Source{Offset: chain.NoOffset}
	m.header.SealedMicros = m.micros
	m.body = chain.AppendControl(m.body[:0], &chain.Control{
		Op: chain.OpOpen, NextEpoch: benchEpoch, Deployment: deployment, Topic: topic, Partition: partition,
	})
	m.seal()
	return nil
}

// event makes the next entry.
func (m *logMaker) event() {
	m.header.Seq++
	m.header.Prev, m.header.Epoch = m.leaf, benchEpoch
	m.micros += 20 // 50,000 a second
	m.header.Kind, m.header.SealedMicros = chain.KindEvent, m.micros
	m.header.Source = chain.Source{Offset: m.next, Next: m.next + 1, TimeMillis: m.micros / 1000}
	m.next++

	var id [10]byte
	binary.LittleEndian.PutUint64(id[2:], m.rng.Uint64())
	at := time.UnixMicro(m.micros).UTC()
	m.person = m.subject()
	m.body = append(m.body[:0], `"subject":"`...)
	m.body = m.person.AppendTo(m.body)
	m.body = append(m.body, `","event":`...)
	start := len(m.body)
	m.body = append(m.body, `{"event_id":"`...)
	m.body = events.UUIDv7(at, id).AppendTo(m.body)
	m.body = append(m.body, `","time":"`...)
	m.body = at.AppendFormat(m.body, "2006-01-02T15:04:05.000000Z")
	m.body = append(m.body, `","type":"tool.call","action":"call","outcome":"success","tenant":"t-`...)
	m.body = strconv.AppendInt(m.body, int64(m.person[15]&7), 10)
	m.body = append(m.body, `","agent":{"id":"help"},"tool":{"name":"order_status"}}`...)
	m.object = m.body[start:]
	m.seal()
}

// subject draws one of 4096 people.
func (m *logMaker) subject() events.UUID {
	var seed [2]byte
	binary.LittleEndian.PutUint16(seed[:], uint16(m.rng.Uint64())&0xfff)
	sum := sha256.Sum256(seed[:])
	id := events.UUID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func (m *logMaker) seal() {
	m.entry = chain.AppendEntry(m.entry[:0], &m.header, m.body)
	m.leaf = m.hasher.Leaf(m.entry)
}
