package store

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
)

var update = flag.Bool("update", false, "write golden files anew")

// wireOf returns the bytes of a block as they are sent.
func wireOf(t *testing.T, b *Block) []byte {
	t.Helper()
	parts, err := b.finish()
	if err != nil {
		t.Fatal(err)
	}
	body := newBlockBody(parts)
	wire, err := io.ReadAll(body)
	if err != nil || int64(len(wire)) != body.size {
		t.Fatalf("read %d bytes of %d: %v", len(wire), body.size, err)
	}
	return wire
}

// goldenBlock has rows of all kinds and all columns.
func goldenBlock(t *testing.T) *Block {
	l := newTestLog(t, "agent.events/3")
	l.open(202611)
	n, cost := uint64(70_000), 0.125
	full := l.event(&events.Record{
		EventID: events.UUID{1, 2, 3}, Time: testStart, Type: "tool.call", Action: "call \"it\"", Outcome: events.Blocked, Tenant: "acme",
		Agent: events.Agent{ID: "a", Name: "support", Version: "1"}, SessionID: strings.Repeat("0a", 16), ConversationID: strings.Repeat("0b", 16),
		TraceID: "trace", SpanID: "span", Tool: events.Tool{Name: "send", CallID: "call-1"}, Model: events.Model{Provider: "p", Name: "m"},
		Usage:    events.Usage{InputTokens: &n, OutputTokens: &n, CostUSD: &cost},
		Resource: events.Resource{Type: "file", ID: strings.Repeat("0c", 16)}, Rows: &n, DurationMS: &n, Error: events.Error{Type: "timeout"},
		Approval: events.Approval{Risk: "high", Decision: "denied", Policy: "four eyes"}, Source: events.Source{IP: strings.Repeat("0d", 16)},
		Producer: &events.Producer{ID: "p1", Seq: 5}, Attributes: map[string]string{"region": "eu", "quote": `"`},
	}, people{subject: [16]byte{7}, approver: [16]byte{8}, dataSubjects: [][16]byte{{9}, {10}}}, findings{[]string{"a.b", "c.d"}, ThreatHigh}, 20)
	least := l.event(&events.Record{EventID: events.UUID{4}, Time: testStart, Type: "a", Action: "b", Outcome: events.Success, Tenant: "acme"}, people{}, findings{}, 0)
	return fill(t, NewBlock(), full, least, l.rejected("not JSON", 3), l.control(&chain.Control{Op: chain.OpEpoch, NextEpoch: 202612}))
}

// TestGoldenBlock pins the bytes of an insert. What they mean is pinned by TestColumnsAgree.
func TestGoldenBlock(t *testing.T) {
	path := filepath.Join("testdata", "block.native")
	got := wireOf(t, goldenBlock(t))
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%d bytes, want %d; they differ from byte %d on", len(got), len(want), at)
	}
}

// TestGoldenBlockReads: the server reads the golden bytes as the rows they were made of.
func TestGoldenBlockReads(t *testing.T) {
	s := newStore(t)
	w := openWriter(t, s, "agent.events/3")
	if err := w.Insert(context.Background(), "x", goldenBlock(t)); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := s.Query(context.Background(), "SELECT * EXCEPT (entry, leaf_hash, content) FROM events ORDER BY seq", "Vertical", &got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "block.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s", got.String())
	}
}

// TestBlockRefuses: rows that do not continue the block leave it as it was.
func TestBlockRefuses(t *testing.T) {
	l := newTestLog(t, "agent.events/0")
	l.open(202611)
	rows := l.samples(2)
	block := fill(t, NewBlock(), rows...)
	want := wireOf(t, block)
	f := func(name string, change func(r *Row)) {
		t.Helper()
		next := *l
		s := next.sample()
		change(&s.row)
		if err := block.Append(&s.row); err == nil || errors.Is(err, ErrBlockFull) {
			t.Errorf("%s: %v", name, err)
		}
		if got := wireOf(t, block); !bytes.Equal(got, want) {
			t.Fatalf("%s: the block has changed", name)
		}
	}
	f("log", func(r *Row) { r.Header.Log = "agent.events/1" })
	f("epoch", func(r *Row) { r.Header.Epoch = 202612 })
	f("gap", func(r *Row) { r.Header.Seq++ })
	f("double", func(r *Row) { r.Header.Seq-- })
	f("kind", func(r *Row) { r.Header.Kind = 9 })
	f("event without event", func(r *Row) { r.Event = nil })
	f("control with event", func(r *Row) { r.Header.Kind = chain.KindControl })
	f("threat", func(r *Row) { r.Threat = 5 })
	f("no entry", func(r *Row) { r.Entry = nil })
	f("huge entry", func(r *Row) { r.Entry = make([]byte, chain.MaxEntryBytes+1) })
	f("content without keys", func(r *Row) { r.Keys = nil })
	f("content without algorithm", func(r *Row) { r.Algorithm = "" })
	f("keys without content", func(r *Row) { r.Ciphertext = nil })
	empty := NewBlock()
	if err := empty.Append(&Row{Header: &chain.Header{}}); err == nil {
		t.Error("a row of no log was taken")
	}
	if empty.Rows() != 0 || empty.Log() != "" {
		t.Error("a refused first row left something")
	}
	if _, err := empty.finish(); err == nil {
		t.Error("a block without rows can be sent")
	}
}

// TestBlockLimits: a block ends before it is more than the server takes as one.
func TestBlockLimits(t *testing.T) {
	l := newTestLog(t, "agent.events/0")
	l.open(202611)
	s := l.sample()
	f := func(name string, prepare func(), rows int) {
		t.Helper()
		block := NewBlock()
		prepare()
		var err error
		for n := uint64(1); err == nil; n++ {
			s.header.Seq = n
			err = block.Append(&s.row)
		}
		if !errors.Is(err, ErrBlockFull) || block.Rows() != rows && rows > 0 {
			t.Errorf("%s: %d rows, %v", name, block.Rows(), err)
		}
		wire := wireOf(t, block)
		if len(wire) > MaxBlockBytes || block.Bytes() < block.count() {
			t.Errorf("%s: %d bytes are sent, %d estimated, %d counted", name, len(wire), block.Bytes(), block.count())
		}
	}
	f("rows", func() { s.row.Ciphertext = s.row.Ciphertext[:1]; s.row.Entry = s.row.Entry[:1] }, MaxBlockRows)
	f("bytes", func() { s.row.Ciphertext = make([]byte, 1<<20) }, 0)
	f("entries", func() { s.row.Ciphertext, s.row.Entry = []byte{1}, make([]byte, chain.MaxEntryBytes) }, 0)
	block := NewBlock()
	s.row.Ciphertext = make([]byte, MaxBlockBytes)
	if err := block.Append(&s.row); !errors.Is(err, ErrBlockFull) || block.Rows() != 0 {
		t.Errorf("a row larger than a block: %v", err)
	}
}

// TestBlockOfLimits: the server takes the largest block, and as one part.
func TestBlockOfLimits(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	l.open(202611)
	one := l.sample()
	block := NewBlock()
	for n := range uint64(MaxBlockRows) {
		one.header.Seq = n
		if err := block.Append(&one.row); err != nil {
			if errors.Is(err, ErrBlockFull) {
				break
			}
			t.Fatal(err)
		}
	}
	w := openWriter(t, s, l.head.Log)
	if err := w.Insert(context.Background(), "x", block); err != nil {
		t.Fatal(err)
	}
	if got := count(t, s, "SELECT count(), uniqExact(_part) FROM events"); got != fmt.Sprintf("%d\t1", block.Rows()) {
		t.Errorf("rows and parts: %s, want %d and 1", got, block.Rows())
	}
}

// TestManyNames: dictionaries with keys of one, two and four bytes.
func TestManyNames(t *testing.T) {
	s := newStore(t)
	f := func(log string, rows, distinct int) {
		t.Helper()
		l := newTestLog(t, log)
		l.open(202611)
		one := l.sample()
		record := append([]byte(nil), one.event.Record()...)
		place := bytes.Index(record, []byte("support-1"))
		block := NewBlock()
		for n := range rows {
			copy(record[place:], fmt.Sprintf("%09d", n*7919%distinct))
			if err := l.parser.Parse(record, &one.event); err != nil {
				t.Fatal(err)
			}
			one.header.Seq = uint64(n)
			one.row.Entry, one.row.Ciphertext = one.row.Entry[:1], one.row.Ciphertext[:1]
			if err := block.Append(&one.row); err != nil {
				t.Fatal(err)
			}
		}
		w := openWriter(t, s, log)
		if err := w.Insert(context.Background(), log, block); err != nil {
			t.Fatal(err)
		}
		got := count(t, s, fmt.Sprintf("SELECT count(), uniqExact(agent_id), countIf(toUInt64(agent_id) = seq * 7919 %% %d) FROM events WHERE log = '%s'", distinct, log))
		if want := fmt.Sprintf("%d\t%d\t%d", rows, min(rows, distinct), rows); got != want {
			t.Errorf("%d names: %s, want %s", distinct, got, want)
		}
	}
	f("agent.events/1", 1000, 1)
	f("agent.events/2", 1000, 256)
	f("agent.events/3", 1000, 257)
	f("agent.events/4", 70_000, 65_536)
	f("agent.events/5", 70_000, 65_537)
}

// TestBlockTypes: the block's columns are the table's, in type and order, so that the
// server converts nothing.
func TestBlockTypes(t *testing.T) {
	s := newStore(t)
	var got strings.Builder
	if err := s.Query(context.Background(), "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'events' ORDER BY position", "TSVRaw", &got); err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, d := range described {
		want.WriteString(d.name + "\t" + d.typ + "\n")
	}
	if got.String() != want.String() {
		t.Errorf("table:\n%s\nblock:\n%s", got.String(), want.String())
	}
}

// TestBlockAllocates nothing once its buffers have grown.
func TestBlockAllocates(t *testing.T) {
	l := newTestLog(t, "agent.events/0")
	l.open(202611)
	rows := l.samples(500)
	block := NewBlock()
	pass := func() {
		fill(t, block, rows...)
		if _, err := block.finish(); err != nil {
			t.Fatal(err)
		}
	}
	pass()
	if n := testing.AllocsPerRun(20, pass); n > 0 {
		t.Errorf("%.0f allocations for %d rows", n, len(rows))
	}
}

// TestBlockMemory: the memory of one huge block is not held for ever.
func TestBlockMemory(t *testing.T) {
	l := newTestLog(t, "agent.events/0")
	l.open(202611)
	one := l.sample()
	small := one.row.Ciphertext
	one.row.Ciphertext = make([]byte, 40<<20)
	block := fill(t, NewBlock(), one)
	one.row.Ciphertext = small
	for range maxRoomy + 1 {
		fill(t, block, one)
	}
	if c := cap(block.cols.content.Buf); c > keptBytes {
		t.Errorf("%d bytes are held for %d", c, len(small))
	}
}
