package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agentaudit/agentaudit/pkg/chain"
	"github.com/agentaudit/agentaudit/pkg/events"
)

// Generators of what an event may hold, at its edges as well.
var (
	anyLine  = rapid.StringMatching(`[a-zA-Z0-9 .,:;'"\\/<>äß☃😀-]{0,24}`)
	anyName  = rapid.OneOf(rapid.SampledFrom([]string{"", "search", "send_email", "gpt", "a'b", `back\slash`, "tab", "日本語"}), anyLine)
	anyText  = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[0-9a-f]{32}`), anyLine)
	anyCount = rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 1<<53-1))
	anyUUID  = rapid.Custom(func(t *rapid.T) (id [16]byte) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return id
	})
)

func optional[T any](t *rapid.T, g *rapid.Generator[T], label string) *T {
	if !rapid.Bool().Draw(t, "has "+label) {
		return nil
	}
	v := g.Draw(t, label)
	return &v
}

// anyRecord draws the public fields of an event.
func anyRecord(t *rapid.T) *events.Record {
	name := func(label string) string { return strings.TrimSpace(anyName.Draw(t, label)) }
	text := func(label string) string { return strings.TrimSpace(anyText.Draw(t, label)) }
	rec := &events.Record{
		EventID: events.UUID(anyUUID.Draw(t, "event_id")),
		Time:    time.UnixMicro(rapid.Int64Range(946_684_800_000_000, 7_258_118_399_999_999).Draw(t, "time")).UTC(),
		Type:    rapid.SampledFrom([]string{"tool.call", "llm.call", "data.access", "a.b.c"}).Draw(t, "type"),
		Action:  "do " + name("action"), Outcome: events.Outcome(rapid.IntRange(1, 5).Draw(t, "outcome")),
		Tenant:    "t" + strings.ReplaceAll(name("tenant"), "/", "_"),
		Agent:     events.Agent{ID: name("agent.id"), Name: name("agent.name"), Version: name("agent.version")},
		SessionID: text("session"), ConversationID: text("conversation"), TraceID: text("trace"), SpanID: text("span"),
		Tool:  events.Tool{Name: name("tool"), CallID: text("call")},
		Model: events.Model{Provider: name("provider"), Name: name("model")},
		Usage: events.Usage{InputTokens: optional(t, anyCount, "in"), OutputTokens: optional(t, anyCount, "out"),
			CostUSD: optional(t, rapid.Float64Range(0, 1e9), "cost")},
		Resource: events.Resource{Type: name("resource"), ID: text("resource id")}, Rows: optional(t, anyCount, "rows"), DurationMS: optional(t, anyCount, "took"),
		Error:    events.Error{Type: name("error")},
		Approval: events.Approval{Risk: name("risk"), Decision: name("decision"), Policy: name("policy")},
		Source:   events.Source{IP: text("ip")},
	}
	if rapid.Bool().Draw(t, "has producer") {
		rec.Producer = &events.Producer{ID: "p" + name("producer"), Seq: anyCount.Draw(t, "producer seq")}
	}
	if n := rapid.IntRange(0, 4).Draw(t, "attributes"); n > 0 {
		rec.Attributes = map[string]string{}
		for range n {
			rec.Attributes["k"+anyLine.Draw(t, "key")] = anyLine.Draw(t, "value")
		}
	}
	return rec
}

// anyRow draws an entry of any kind but control.
func anyRow(t *rapid.T, l *testLog) *sealed {
	content := rapid.SampledFrom([]int{0, 1, 100, 5000}).Draw(t, "content")
	if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
		return l.rejected("not JSON", content)
	}
	who := people{dataSubjects: rapid.SliceOfNDistinct(anyUUID, 0, 3, rapid.ID).Draw(t, "data subjects")}
	if rapid.Bool().Draw(t, "has user") {
		who.subject = anyUUID.Draw(t, "subject")
	}
	if rapid.Bool().Draw(t, "has approver") {
		who.approver = anyUUID.Draw(t, "approver")
	}
	found := findings{
		names:  rapid.SliceOfN(rapid.SampledFrom([]string{"injection.instruction_override", "pii.email", "kafka.key_mismatch"}), 0, 3).Draw(t, "findings"),
		threat: Threat(rapid.IntRange(0, 4).Draw(t, "threat")),
	}
	return l.event(anyRecord(t), who, found, content)
}

// TestColumnsAgree: whatever is appended is stored, in every column, as the entry says.
func TestColumnsAgree(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	block, checker, n := NewBlock(), NewChecker(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		l := newTestLog(rt, chain.LogName("agent.events", n, 0))
		w, err := s.OpenWriter(ctx, l.head.Log)
		if err != nil {
			rt.Fatal(err)
		}
		defer w.Close()
		rows := []*sealed{l.open(202611)}
		insert(rt, w, fill(rt, block, rows...))
		for range rapid.IntRange(1, 20).Draw(rt, "rows") {
			rows = append(rows, anyRow(rt, l))
		}
		insert(rt, w, fill(rt, block, rows[1:]...))
		verifier, next := chain.NewVerifier(l.head.Log), 0
		err = s.ScanDeep(ctx, l.head.Log, 0, func(got *Stored) error {
			if err := verifier.Check(got.Seq, got.Entry, got.Leaf); err != nil {
				return err
			}
			if string(got.Entry) != string(rows[next].row.Entry) || string(got.Content) != string(rows[next].row.Ciphertext) {
				rt.Fatalf("row %d is not what was inserted", next)
			}
			next++
			return checker.Check(got)
		})
		if err != nil {
			rt.Fatal(err)
		}
		if head, err := w.Head(ctx); err != nil || head != l.head || next != len(rows) {
			rt.Fatalf("head %+v (%v), want %+v; %d of %d rows", head, err, l.head, next, len(rows))
		}
	})
}

// TestCheckerFindsEveryColumn changes one column at a time.
func TestCheckerFindsEveryColumn(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	l := newTestLog(t, "agent.events/0")
	rows, tokens, cost := uint64(7), uint64(9), 0.25
	rec := &events.Record{
		EventID: events.UUID{1}, Time: testStart, Type: "tool.call", Action: "call", Outcome: events.Denied, Tenant: "acme",
		Agent: events.Agent{ID: "a", Name: "b", Version: "c"}, SessionID: "d", ConversationID: "e", TraceID: "f", SpanID: "g",
		Tool: events.Tool{Name: "h", CallID: "i"}, Model: events.Model{Provider: "j", Name: "k"},
		Usage:    events.Usage{InputTokens: &tokens, OutputTokens: &tokens, CostUSD: &cost},
		Resource: events.Resource{Type: "l", ID: "m"}, Rows: &rows, DurationMS: &rows, Error: events.Error{Type: "n"},
		Approval: events.Approval{Risk: "o", Decision: "p", Policy: "q"}, Source: events.Source{IP: "r"},
		Producer: &events.Producer{ID: "s", Seq: 3}, Attributes: map[string]string{"t": "u"},
	}
	w := openWriter(t, s, l.head.Log)
	block := NewBlock()
	insert(t, w, fill(t, block, l.open(202611)))
	who := people{subject: [16]byte{1}, approver: [16]byte{2}, dataSubjects: [][16]byte{{3}}}
	insert(t, w, fill(t, block, l.event(rec, who, findings{names: []string{"x.y"}, threat: ThreatLow}, 50)))
	checker := NewChecker()
	for i := range described {
		name := described[i].name
		if name == "entry" || name == "leaf_hash" {
			continue // what the others are held against, and what chain.Verifier checks
		}
		changed := "''"
		switch typ := described[i].typ; {
		case name == "epoch":
			changed = "toUInt32(202612)"
		case strings.HasPrefix(typ, "Enum8"):
			changed = "CAST(2, '" + strings.ReplaceAll(typ, "'", "\\'") + "')"
		case strings.HasPrefix(typ, "Array"), strings.HasPrefix(typ, "Map"):
			changed = "CAST([], '" + typ + "')"
			if strings.HasPrefix(typ, "Map") {
				changed = "CAST(map(), '" + typ + "')"
			}
		case typ == "UUID":
			changed = "toUUID('00000000-0000-0000-0000-000000000009')"
		case strings.HasPrefix(typ, "UInt"), strings.HasPrefix(typ, "Int"), strings.HasPrefix(typ, "Float"), strings.HasPrefix(typ, "DateTime"):
			changed = name + " + 1"
		}
		other := "changed_" + name
		exec(t, s, "CREATE TABLE "+s.cfg.Database+"."+other+" AS "+s.events)
		exec(t, s, "INSERT INTO "+s.cfg.Database+"."+other+" ("+columnNames+") SELECT * REPLACE ("+changed+" AS "+name+") FROM "+s.events+" AS e WHERE e.seq = 1")
		altered := openStore(t, s.cfg)
		altered.events = s.cfg.Database + "." + other
		log := l.head.Log
		if name == "log" {
			log = ""
		}
		seen := 0
		err := altered.ScanDeep(ctx, log, 0, func(got *Stored) error {
			seen++
			return checker.Check(got)
		})
		var fault *chain.Fault
		if !errors.As(err, &fault) || fault.Reason != "column "+name+" does not agree with the entry" {
			t.Errorf("%s = %s: %v after %d rows", name, changed, err, seen)
		}
	}
}
