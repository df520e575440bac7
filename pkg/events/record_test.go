package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// line draws a string that a field with a limit accepts.
func line(limit int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool {
		return r >= ' ' && (r < 0x7f || r >= 0xa0)
	}), 0, -1, limit)
}

// freeText draws a string without NUL.
func freeText(limit int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, -1, limit)
}

func nonEmptyLine(limit int) *rapid.Generator[string] {
	return line(limit).Filter(func(s string) bool { return s != "" })
}

// anyJSON draws a JSON value of any type.
func anyJSON() *rapid.Generator[any] {
	return rapid.OneOf(
		rapid.Just[any](nil),
		rapid.Bool().AsAny(),
		rapid.Float64Range(-1e300, 1e300).AsAny(),
		rapid.String().AsAny(),
		rapid.SliceOfN(rapid.String(), 0, 3).AsAny(),
		rapid.MapOfN(rapid.String(), rapid.SliceOfN(rapid.Int(), 0, 2), 0, 20).AsAny(),
	)
}

func rawJSON() *rapid.Generator[json.RawMessage] {
	return rapid.Custom(func(t *rapid.T) json.RawMessage {
		if rapid.Bool().Draw(t, "absent") {
			return nil
		}
		raw, err := json.Marshal(anyJSON().Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	})
}

// records draws any Record that is valid.
func records() *rapid.Generator[*Record] {
	count := rapid.Ptr(rapid.Uint64Max(maxCount), true)
	return rapid.Custom(func(t *rapid.T) *Record {
		r := &Record{
			EventID:        UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "event_id")),
			Time:           time.UnixMicro(rapid.Int64Range(minTimeMicros, endTimeMicros-1).Draw(t, "time")).UTC(),
			Type:           rapid.StringMatching(`[a-z0-9_]{1,20}(\.[a-z0-9_]{1,20}){0,4}`).Draw(t, "type"),
			Action:         nonEmptyLine(maxNameBytes).Draw(t, "action"),
			Outcome:        Outcome(rapid.IntRange(1, 5).Draw(t, "outcome")),
			Tenant:         strings.ReplaceAll(nonEmptyLine(maxTenantBytes).Draw(t, "tenant"), "/", "-"),
			UserID:         line(maxIdentityBytes).Draw(t, "user_id"),
			Agent:          Agent{line(maxNameBytes).Draw(t, "agent.id"), line(maxNameBytes).Draw(t, "agent.name"), line(maxNameBytes).Draw(t, "agent.version")},
			SessionID:      line(maxNameBytes).Draw(t, "session_id"),
			ConversationID: line(maxNameBytes).Draw(t, "conversation_id"),
			TraceID:        line(maxNameBytes).Draw(t, "trace_id"),
			SpanID:         line(maxNameBytes).Draw(t, "span_id"),
			Tool:           Tool{line(maxNameBytes).Draw(t, "tool.name"), line(maxNameBytes).Draw(t, "tool.call_id")},
			Model:          Model{line(maxNameBytes).Draw(t, "model.provider"), line(maxNameBytes).Draw(t, "model.name")},
			Usage: Usage{count.Draw(t, "usage.input_tokens"), count.Draw(t, "usage.output_tokens"),
				rapid.Ptr(rapid.Float64Range(0, maxCostUSD), true).Draw(t, "usage.cost_usd")},
			Resource:     Resource{line(maxNameBytes).Draw(t, "resource.type"), line(maxResourceIDBytes).Draw(t, "resource.id")},
			Rows:         count.Draw(t, "rows"),
			DurationMS:   count.Draw(t, "duration_ms"),
			Error:        Error{line(maxNameBytes).Draw(t, "error.type"), freeText(4096).Draw(t, "error.message")},
			Source:       Source{line(maxNameBytes).Draw(t, "source.ip"), line(maxUserAgentBytes).Draw(t, "source.user_agent")},
			DataSubjects: rapid.SliceOfN(nonEmptyLine(maxIdentityBytes), 0, MaxDataSubjects).Draw(t, "data_subjects"),
			Attributes:   rapid.MapOfN(nonEmptyLine(maxAttributeKeyBytes), freeText(200), 0, 25).Draw(t, "attributes"),
			Content:      Content{rawJSON().Draw(t, "content.input"), rawJSON().Draw(t, "content.output")},
		}
		r.Approval = Approval{line(maxLevelBytes).Draw(t, "risk"), line(maxLevelBytes).Draw(t, "decision"),
			line(maxIdentityBytes).Draw(t, "approver"), line(maxNameBytes).Draw(t, "policy")}
		if rapid.Bool().Draw(t, "producer") {
			r.Producer = &Producer{line(maxNameBytes).Draw(t, "producer.id"), rapid.Uint64Max(maxCount).Draw(t, "producer.seq")}
		}
		if r.EventID == (UUID{}) {
			r.EventID[0] = 1
		}
		return r
	})
}

// TestRecordSurvives: Record → JSON → Parse gives the same values, and the schema agrees.
func TestRecordSurvives(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	schema := compileSchema(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := records().Draw(rt, "record")
		encoded, err := r.AppendJSON(nil)
		if err != nil {
			rt.Fatal(err)
		}
		if err := parser.Parse(encoded, ev); err != nil {
			rt.Fatal(err)
		}
		checkRecord(rt, ev, r)
		checkAgainstSchema(t, schema, encoded, nil)

		var back Record
		if err := json.Unmarshal(encoded, &back); err != nil {
			rt.Fatal(err)
		}
		again, err := back.AppendJSON(nil)
		if err != nil || !bytes.Equal(encoded, again) {
			rt.Fatalf("encoding/json reads other values: %v\n%s\n%s", err, encoded, again)
		}
	})
}

// checkRecord compares the parsed event with the record it was made from.
func checkRecord(t *rapid.T, ev *Event, r *Record) {
	text := map[Field]string{
		FieldSchema: Schema, FieldEventID: r.EventID.String(), FieldTime: r.Time.Format("2006-01-02T15:04:05.000000Z"),
		FieldType: r.Type, FieldAction: r.Action, FieldOutcome: r.Outcome.String(), FieldTenant: r.Tenant, FieldUserID: r.UserID,
		FieldAgentID: r.Agent.ID, FieldAgentName: r.Agent.Name, FieldAgentVersion: r.Agent.Version,
		FieldSessionID: r.SessionID, FieldConversationID: r.ConversationID, FieldTraceID: r.TraceID, FieldSpanID: r.SpanID,
		FieldToolName: r.Tool.Name, FieldToolCallID: r.Tool.CallID, FieldModelProvider: r.Model.Provider, FieldModelName: r.Model.Name,
		FieldResourceType: r.Resource.Type, FieldResourceID: r.Resource.ID, FieldErrorType: r.Error.Type, FieldErrorMessage: r.Error.Message,
		FieldApprovalRisk: r.Approval.Risk, FieldApprovalDecision: r.Approval.Decision, FieldApprovalApprover: r.Approval.Approver,
		FieldApprovalPolicy: r.Approval.Policy, FieldSourceIP: r.Source.IP, FieldSourceUserAgent: r.Source.UserAgent,
	}
	counts := map[Field]*uint64{FieldInputTokens: r.Usage.InputTokens, FieldOutputTokens: r.Usage.OutputTokens, FieldRows: r.Rows, FieldDurationMS: r.DurationMS}
	if r.Producer != nil {
		text[FieldProducerID] = r.Producer.ID
		counts[FieldProducerSeq] = &r.Producer.Seq
	}
	var scratch []byte
	for f, want := range text {
		if got := string(ev.Value(f, scratch)); got != want || ev.Has(f) != (want != "") {
			t.Errorf("%s %q, want %q", f, got, want)
		}
	}
	for f, want := range counts {
		if ev.Has(f) != (want != nil) || want != nil && ev.Uint(f) != *want {
			t.Errorf("%s %d, want %v", f, ev.Uint(f), want)
		}
	}
	if usd := r.Usage.CostUSD; ev.Has(FieldCostUSD) != (usd != nil) || usd != nil && ev.CostUSD() != *usd {
		t.Errorf("cost %v, want %v", ev.CostUSD(), usd)
	}
	if ev.TimeMicros() != r.Time.UnixMicro() || ev.ID() != r.EventID || ev.Outcome() != r.Outcome {
		t.Errorf("time %d, id %x, outcome %s", ev.TimeMicros(), ev.ID(), ev.Outcome())
	}
	if got := dataSubjects(ev); !slices.Equal(got, r.DataSubjects) {
		t.Errorf("data_subjects %q, want %q", got, r.DataSubjects)
	}
	if got := attributes(ev); len(got) != len(r.Attributes) || !containsAll(got, r.Attributes) {
		t.Errorf("attributes %q, want %q", got, r.Attributes)
	}
	if !bytes.Equal(ev.Raw(FieldContentInput), r.Content.Input) || !bytes.Equal(ev.Raw(FieldContentOutput), r.Content.Output) {
		t.Errorf("content %s and %s", ev.Raw(FieldContentInput), ev.Raw(FieldContentOutput))
	}
	if ev.NumUnknown() != 0 {
		t.Error("unknown members in what we wrote")
	}
}

func containsAll(m, part map[string]string) bool {
	for key, value := range part {
		if m[key] != value {
			return false
		}
	}
	return true
}

// validRecord returns a record that tests spoil.
func validRecord() *Record {
	return &Record{EventID: UUID{1}, Time: time.Date(2026, 11, 20, 21, 14, 5, 0, time.UTC), Type: "tool.call", Action: "send", Outcome: Success, Tenant: "acme", UserID: "u-1"}
}

func TestRecordRefused(t *testing.T) {
	f := func(want string, spoil func(r *Record)) {
		t.Helper()
		r := validRecord()
		spoil(r)
		dst, err := r.AppendJSON([]byte("before"))
		var invalid *Invalid
		if !errors.As(err, &invalid) || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
		if string(dst) != "before" {
			t.Errorf("dst is %q after %v", dst, err)
		}
	}
	f("event_id: missing", func(r *Record) { r.EventID = UUID{} })
	f("time: missing", func(r *Record) { r.Time = time.Time{} })
	f("time: after the year 2199", func(r *Record) { r.Time = r.Time.AddDate(300, 0, 0) })
	f("time: "+reasonTime, func(r *Record) { r.Time = r.Time.AddDate(30000, 0, 0) })
	f("type: missing", func(r *Record) { r.Type = "" })
	f("outcome: missing", func(r *Record) { r.Outcome = 99 })
	f("tenant: "+reasonSlash, func(r *Record) { r.Tenant = "a/b" })
	f("user_id: not valid UTF-8", func(r *Record) { r.UserID = "caf\xe9" })
	f("user_id: contains a NUL character", func(r *Record) { r.UserID = "a\x00" })
	f("attributes: not valid UTF-8", func(r *Record) { r.Attributes = map[string]string{"\xff": "v"} })
	f("data_subjects: an entry is empty", func(r *Record) { r.DataSubjects = []string{""} })
	f("rows: larger than 9007199254740991", func(r *Record) { r.Rows = new(uint64(1 << 53)) })
	f("usage.cost_usd: not a finite number", func(r *Record) { r.Usage.CostUSD = new(math.NaN()) })
	f("usage.cost_usd: not a finite number", func(r *Record) { r.Usage.CostUSD = new(math.Inf(1)) })
	f("usage.cost_usd: must not be negative", func(r *Record) { r.Usage.CostUSD = new(-0.5) })
	f("record: not valid JSON", func(r *Record) { r.Content.Input = json.RawMessage("{x}") })
	f("content.input: not valid JSON", func(r *Record) { r.Content.Input = json.RawMessage(`1,"more":2`) })
	f("content.output: not valid JSON", func(r *Record) { r.Content.Output = json.RawMessage(`1},"x":{"y":2`) })
	f("content.output: not valid UTF-8", func(r *Record) { r.Content.Output = json.RawMessage("\"\xff\"") })
	f("record: larger than 1 MiB", func(r *Record) { r.Content.Input = Text(strings.Repeat("a", MaxRecordBytes)) })
}

func TestRecordMarshalJSON(t *testing.T) {
	r := validRecord()
	r.Usage.CostUSD = new(math.Copysign(0, -1))
	r.Content = Content{Input: Text("a\x00\"\xff"), Output: json.RawMessage(" {\"a\":1}\n")}
	got, err := json.Marshal(*r)
	const want = `{"schema":"agentaudit.event/v1","event_id":"01000000-0000-0000-0000-000000000000","time":"2026-11-20T21:14:05.000000Z",` +
		`"type":"tool.call","action":"send","outcome":"success","tenant":"acme","user_id":"u-1","usage":{"cost_usd":0},` +
		`"content":{"input":"a\u0000\"` + "\uFFFD" + `","output":{"a":1}}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}
