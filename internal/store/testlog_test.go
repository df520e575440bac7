package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/gdpr"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// testLog makes entries of one log as ingest would, with made-up ciphertexts.
type testLog struct {
	t      failer
	head   chain.Head
	parser *events.Parser
	random *rand.ChaCha8
	hasher *chain.Hasher
}

// sealed is what testLog makes of a record: an entry with all that its row needs.
type sealed struct {
	header chain.Header
	row    Row
	event  events.Event
}

var testStart = time.Date(2026, 11, 20, 21, 14, 5, 123456000, time.UTC)

func newTestLog(t failer, name string) *testLog {
	return &testLog{t: t, head: chain.EmptyHead(name), parser: events.NewParser(), hasher: chain.NewHasher(),
		random: rand.NewChaCha8(sha256.Sum256([]byte(name)))}
}

// open appends entry 0, which announces an epoch.
func (l *testLog) open(epoch uint32) *sealed {
	topic, partition, _, err := chain.ParseLog(l.head.Log)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.control(&chain.Control{Op: chain.OpOpen, NextEpoch: epoch, Deployment: "test", Topic: topic, Partition: partition})
}

func (l *testLog) control(c *chain.Control) *sealed {
	s := &sealed{header: l.header(chain.KindControl)}
	s.header.Source = chain.Source{Offset: chain.NoOffset, Next: l.head.Next}
	l.seal(s, chain.AppendControl(nil, c))
	return s
}

func (l *testLog) header(kind chain.Kind) chain.Header {
	return chain.Header{
		Log: l.head.Log, Seq: l.head.Size, Prev: l.head.Leaf, Epoch: l.head.NextEpoch, Kind: kind,
		SealedMicros: testStart.UnixMicro() + int64(l.head.Size)*1000,
		Source:       chain.Source{Offset: l.head.Next, Next: l.head.Next + 1, TimeMillis: testStart.UnixMilli() + int64(l.head.Size)},
	}
}

// seal makes the entry and moves the head.
func (l *testLog) seal(s *sealed, body []byte) {
	s.row.Header = &s.header
	s.row.Entry = chain.AppendEntry(nil, &s.header, body)
	s.row.Leaf = l.hasher.Leaf(s.row.Entry)
	head, err := chain.HeadOf(s.row.Entry)
	if err != nil {
		l.t.Fatalf("entry %s: %v", s.row.Entry, err)
	}
	l.head = head
}

// people are the pseudonyms of an event.
type people struct {
	subject, approver [16]byte
	dataSubjects      [][16]byte
}

// findings are what a scan of an event found.
type findings struct {
	names  []string
	threat Threat
}

// event appends an event. rec holds its public fields as they stand in the entry,
// with tokens in the place of identifiers; content is the size of its ciphertext.
func (l *testLog) event(rec *events.Record, who people, found findings, content int) *sealed {
	public := *rec
	public.UserID, public.DataSubjects, public.Content, public.Error.Message, public.Source = "", nil, events.Content{}, "", events.Source{}
	if who.approver != ([16]byte{}) {
		public.Approval.Approver = events.UUID(who.approver).String()
	}
	object, err := public.AppendJSON(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	s := &sealed{header: l.header(chain.KindEvent)}
	if err := l.parser.Parse(object, &s.event); err != nil {
		l.t.Fatal(err)
	}
	// The schema's name is not repeated in entries.
	object = append([]byte("{"), bytes.TrimPrefix(object, []byte(`{"schema":"`+events.Schema+`",`))...)
	var body []byte
	if who.subject != ([16]byte{}) {
		body = append(events.UUID(who.subject).AppendTo(append(body, `"subject":"`...)), `",`...)
	}
	if len(who.dataSubjects) > 0 {
		body = append(body, `"data_subjects":[`...)
		for i, id := range who.dataSubjects {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(events.UUID(id).AppendTo(append(body, '"')), '"')
		}
		body = append(body, `],`...)
	}
	body = append(append(body, `"event":`...), object...)
	if rec.Source.IP != "" {
		body = append(body, `,"ip":`...)
		body = events.AppendQuoted(body, []byte(rec.Source.IP))
	}
	if len(found.names) > 0 {
		body = append(body, `,"findings":["`+strings.Join(found.names, `","`)+`"]`...)
	}
	if found.threat != ThreatNone {
		body = append(body, `,"threat":"`+found.threat.String()+`"`...)
	}
	s.row = Row{
		Event: &s.event, Subject: who.subject, DataSubjects: who.dataSubjects, Approver: who.approver,
		SessionID: textOrNil(rec.SessionID), ConversationID: textOrNil(rec.ConversationID),
		IP: textOrNil(rec.Source.IP), ResourceID: textOrNil(rec.Resource.ID),
		Findings: found.names, Threat: found.threat, PublicAttributes: true,
	}
	if content > 0 {
		body = l.content(s, body, content, who)
	}
	l.seal(s, body)
	return s
}

// system appends a record of one of our own processes. Its signature is none: the store does not look at it.
func (l *testLog) system(rec *events.Record) *sealed {
	object, err := rec.AppendJSON(nil)
	if err != nil {
		l.t.Fatal(err)
	}
	s := &sealed{header: l.header(chain.KindSystem)}
	if err := l.parser.Parse(object, &s.event); err != nil {
		l.t.Fatal(err)
	}
	s.row = Row{Event: &s.event, PublicAttributes: true}
	l.seal(s, chain.AppendSystem(nil, "exporter", make([]byte, 64), object))
	return s
}

func textOrNil(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func (l *testLog) content(s *sealed, body []byte, size int, who people) []byte {
	keys := []gdpr.KeyID{gdpr.KeyID(l.hash("key", who.subject))}
	for _, id := range who.dataSubjects {
		keys = append(keys, gdpr.KeyID(l.hash("key", id)))
	}
	s.row.Ciphertext = make([]byte, size)
	_, _ = l.random.Read(s.row.Ciphertext) // never fails
	s.row.Algorithm, s.row.Keys = gdpr.AlgorithmPlain, keys
	about := gdpr.Sealed{Algorithm: s.row.Algorithm, Keys: keys, SHA256: sha256.Sum256(s.row.Ciphertext)}
	_, _ = l.random.Read(about.Salt[:])
	_, _ = l.random.Read(about.Commit[:])
	return gdpr.AppendSealed(append(body, `,"content":`...), &about)
}

func (l *testLog) hash(what string, id [16]byte) (out [16]byte) {
	sum := sha256.Sum256(append([]byte(what), id[:]...))
	copy(out[:], sum[:])
	return out
}

// rejected appends a rejected record.
func (l *testLog) rejected(reason string, content int) *sealed {
	s := &sealed{header: l.header(chain.KindRejected)}
	body := chain.AppendRejected(nil, &chain.Rejected{Field: "user_id", Reason: reason, Bytes: content})
	if content > 0 {
		body = l.content(s, body, content, people{})
	}
	l.seal(s, body)
	return s
}

// sample appends an ordinary event: about 470 bytes on the wire, one of 1,000 people.
func (l *testLog) sample() *sealed {
	n := l.head.Size
	person := n * 7919 % 1000
	tokens, out, cost, took := 300+n%1500, n%400, float64(n%997)/1e5, n%3000
	rec := &events.Record{
		EventID: events.UUIDv7(testStart.Add(time.Duration(n)*time.Millisecond), [10]byte(hashOf(l, "event", n))),
		Time:    testStart.Add(time.Duration(n) * time.Millisecond), Type: "tool.call", Action: "execute_tool", Outcome: events.Success,
		Tenant: "acme", Agent: events.Agent{ID: "support-1", Name: "support", Version: "1.4.2"},
		SessionID: hex.EncodeToString(hashOf(l, "session", person*50+n/5000)), ConversationID: hex.EncodeToString(hashOf(l, "conversation", person)),
		TraceID: hex.EncodeToString(hashOf(l, "trace", n/4)), SpanID: hex.EncodeToString(hashOf(l, "span", n)[:8]),
		Tool:  events.Tool{Name: []string{"search_flights", "get_user", "send_email", "book"}[n%4]},
		Model: events.Model{Provider: "anthropic", Name: "claude"}, Usage: events.Usage{InputTokens: &tokens, OutputTokens: &out, CostUSD: &cost}, DurationMS: &took,
		Source: events.Source{IP: hex.EncodeToString(hashOf(l, "ip", person))},
	}
	var subject [16]byte
	copy(subject[:], hashOf(l, "subject", person))
	return l.event(rec, people{subject: subject}, findings{}, 111)
}

func hashOf(l *testLog, what string, n uint64) []byte {
	id := l.hash(what, [16]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	return id[:]
}

// fill appends the rows to an empty block.
func fill(t failer, b *Block, rows ...*sealed) *Block {
	t.Helper()
	b.Reset()
	for _, r := range rows {
		if err := b.Append(&r.row); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// samples appends n ordinary events.
func (l *testLog) samples(n int) []*sealed {
	all := make([]*sealed, n)
	for i := range all {
		all[i] = l.sample()
	}
	return all
}
