package chain

import (
	"strings"
	"testing"
)

// stored is an entry as it stands in the store: its bytes and what stands beside them.
type stored struct {
	seq   uint64
	entry []byte
	leaf  Hash
}

// logBuilder writes a log as ingest does.
type logBuilder struct {
	head    Head
	entries []stored
}

func (b *logBuilder) append(t testing.TB, kind Kind, source Source, body []byte) {
	t.Helper()
	h := Header{
		Log: b.head.Log, Seq: b.head.Size, Prev: b.head.Leaf, Epoch: b.head.NextEpoch,
		SealedMicros: 1795209245123456 + int64(b.head.Size), Source: source, Kind: kind,
	}
	entry := AppendEntry(nil, &h, body)
	head, err := HeadOf(entry)
	if err != nil {
		t.Fatalf("entry %d of the fixture: %v", h.Seq, err)
	}
	b.head = head
	b.entries = append(b.entries, stored{h.Seq, entry, head.Leaf})
}

func (b *logBuilder) control(t testing.TB, c *Control) {
	next := b.head.Next
	if c.Op == OpOpen {
		next = c.FirstOffset
	}
	b.append(t, KindControl, Source{Offset: NoOffset, Next: next}, AppendControl(nil, c))
}

func (b *logBuilder) record(t testing.TB, kind Kind, body []byte) {
	b.append(t, kind, Source{Offset: b.head.Next, Next: b.head.Next + 1, TimeMillis: 1795209245000 + b.head.Next}, body)
}

const (
	eventBody = `"subject":"018f2a4c-8d6e-7b3a-9c1d-2e5f60718293","event":{"event_id":"0193492e-5c00-7000-8000-0000000000a1","time":"2026-11-20T21:14:05Z",` +
		`"type":"tool.call","action":"search_flights","outcome":"success","tenant":"acme","agent":{"id":"airline","version":"1.4"},` +
		`"usage":{"input_tokens":812,"output_tokens":96,"cost_usd":0.0031},"session_id":"8c7f5b1f2a9e4d3c8b7a695847362514"}`
	richEventBody = `"subject":"018f2a4c-8d6e-7b3a-9c1d-2e5f60718293","data_subjects":["018f2a4c-8d6e-7b3a-9c1d-000000000001","018f2a4c-8d6e-7b3a-9c1d-000000000002"],` +
		`"event":{"event_id":"0193492e-5c00-7000-8000-0000000000a2","type":"message.user","action":"ask","outcome":"blocked","tenant":"acme"},` +
		`"ip":"15e90b0b312f573fc96f55cdbefb2ef5","findings":["injection.instruction_override","kafka.key_mismatch"],"threat":"high",` +
		`"content":{"alg":"A256GCM","keys":["92e0287b-a7c0-0040-c5fb-321f226d5cf5"],"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE",` +
		`"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI","commit":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAM"}`
	systemEventBody = `"event":{"event_id":"0193492e-5c00-7000-8000-0000000000a3","type":"app.start","action":"start","outcome":"success","tenant":"acme"}`
	contentMember   = `,"content":{"alg":"A256GCM","keys":["92e0287b-a7c0-0040-c5fb-321f226d5cf5"],"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE",` +
		`"sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI","commit":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAM"}`
)

func rejectedBody() []byte {
	return append(AppendRejected(nil, &Rejected{Field: "user_id", Reason: `missing: "user_id" is required`, Bytes: 312}), contentMember...)
}

// heartbeatBody holds a record with white space and its members in an order of its own: it is kept as its author signed it.
func heartbeatBody() []byte {
	return AppendSystem(nil, "exporter-1", []byte(strings.Repeat("s", signatureBytes)),
		[]byte("{ \"type\":\"audit.heartbeat\",\n\"event_id\" : \"0193492E-5C00-7000-8000-0000000000A4\"}"))
}

// newLog returns a log with all kinds of entries, n of them (4 at least), across a change of epoch.
func newLog(t testing.TB, log string, n int) *logBuilder {
	t.Helper()
	topic, partition, generation, err := ParseLog(log)
	if err != nil {
		t.Fatal(err)
	}
	open := Control{Op: OpOpen, NextEpoch: 202611, Deployment: "audit.example.com/prod", Topic: topic, Partition: partition, FirstOffset: 17}
	if generation > 0 {
		open.Predecessor = &Predecessor{Log: LogName(topic, partition, generation-1), Size: 9, Head: Hash{1, 2, 3}}
	}
	b := &logBuilder{head: EmptyHead(log)}
	b.control(t, &open)
	bodies := []struct {
		kind Kind
		body []byte
	}{{KindEvent, []byte(eventBody)}, {KindEvent, []byte(richEventBody)}, {KindRejected, rejectedBody()}, {KindSystem, heartbeatBody()}, {KindEvent, []byte(systemEventBody)}}
	for i := 0; len(b.entries) < n; i++ {
		if i == 3 {
			b.control(t, &Control{Op: OpEpoch, NextEpoch: 202612})
			continue
		}
		b.record(t, bodies[i%len(bodies)].kind, bodies[i%len(bodies)].body)
	}
	return b
}

func verifyAll(log string, entries []stored) (Head, error) {
	v := NewVerifier(log)
	for _, e := range entries {
		if err := v.Check(e.seq, e.entry, e.leaf); err != nil {
			return v.Head(), err
		}
	}
	return v.Head(), nil
}
