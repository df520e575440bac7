package events

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Three sizes of what agents send: a plain tool call, one with a longer content, and one with
// every field.
const (
	event470 = `{"schema":"agentaudit.event/v1","event_id":"c17261e4-7daa-7c65-8ba3-e497d5072296","time":"2026-10-01T08:00:36.805123Z",` +
		`"type":"tool.call","action":"search","outcome":"success","tenant":"airline","user_id":"mia_li_3668",` +
		`"agent":{"id":"airline-support","name":"Airline support"},"session_id":"airline-0-0","tool":{"name":"search_direct_flight","call_id":"call_81"},` +
		`"duration_ms":412,"content":{"input":"{\"origin\":\"JFK\",\"destination\":\"SEA\",\"date\":\"20 Oct 6\"}"}}`

	event840 = `{"schema":"agentaudit.event/v1","event_id":"21a2cf01-a5f7-5cd7-8657-f44cb07755b1","time":"2026-10-01T08:00:52.337000Z",` +
		`"tenant":"airline","user_id":"mia_li_3668","agent":{"id":"airline-support","name":"airline-support"},"session_id":"airline-0-0",` +
		`"model":{"provider":"openai","name":"gpt-4o"},"type":"message.agent","action":"reply","outcome":"success",` +
		`"content":{"output":"Thank you, Mia. Could you please let me know the following details for your booking?\n\n` +
		`1. Trip type: Is it a one-way or round-trip?\n2. Cabin class: Would you prefer basic economy, economy, or business?\n` +
		`3. Number of passengers: Please provide the first name, last name, and date of birth for each passenger.\n` +
		`4. Payment method: Please confirm the payment method(s) you'd like to use from your profile.\n5. Would you like to purchase travel insurance for USD 30?"}}`

	event1400 = `{"schema":"agentaudit.event/v1","event_id":"0199f0c2-8d1e-7a44-9b7e-2f6d1c0a9e55","time":"2026-11-20T21:14:05.123456+01:00",` +
		`"type":"tool.call","action":"execute_tool","outcome":"failure","tenant":"globex","user_id":"u-48213",` +
		`"agent":{"id":"support-7","name":"Support agent","version":"2026.11.3"},"session_id":"s-9f31c2","conversation_id":"conv_b51f7a20",` +
		`"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","tool":{"name":"crm.update_contact","call_id":"call_8f2a"},` +
		`"model":{"provider":"anthropic","name":"claude-sonnet-4-5"},"usage":{"input_tokens":2311,"output_tokens":187,"cost_usd":0.009738},` +
		`"resource":{"type":"crm.contact","id":"003Qx00000A1b2c"},"rows":1,"duration_ms":843,` +
		`"error":{"type":"conflict","message":"the contact was changed by another user in the meantime"},` +
		`"approval":{"risk":"medium","decision":"approved","approver":"dana.k","policy":"crm-writes"},` +
		`"source":{"ip":"203.0.113.77","user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"},` +
		`"data_subjects":["u-5521","u-7719"],"producer":{"id":"support-api-7c9f","seq":1029384},` +
		`"attributes":{"region":"eu-central-1","deployment":"blue","feature":"contact-sync"},` +
		`"content":{"input":{"contact":"003Qx00000A1b2c","fields":{"phone":"+49 30 901820","title":"Head of Purchasing"},"notify":true},` +
		`"output":{"status":409,"body":"Conflict: version 17 was expected, 18 was found in the CRM"}}}`
)

func BenchmarkParse(b *testing.B) {
	// The last one is not ASCII from its first quarter on.
	for _, record := range []string{event470, event840, event1400, strings.Replace(event1400, "Support agent", "Käufer-Agent", 1)} {
		b.Run(fmt.Sprint(len(record)), func(b *testing.B) {
			src, parser, ev := []byte(record), NewParser(), new(Event)
			b.ReportAllocs()
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if err := parser.Parse(src, ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodingJSON is for scale: it checks neither duplicates nor ranges nor UTF-8.
func BenchmarkEncodingJSON(b *testing.B) {
	for _, record := range []string{event470, event840, event1400} {
		b.Run(fmt.Sprint(len(record)), func(b *testing.B) {
			src := []byte(record)
			b.ReportAllocs()
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				var r Record
				if err := json.Unmarshal(src, &r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	r := Record{
		EventID: UUID{1}, Time: time.UnixMicro(minTimeMicros), Type: "tool.call", Action: "search", Outcome: Success, Tenant: "airline",
		UserID: "mia_li_3668", Agent: Agent{ID: "airline-support"}, SessionID: "airline-0-0", Tool: Tool{Name: "search_direct_flight"},
		DurationMS: new(uint64(412)), Attributes: map[string]string{"region": "eu-central-1", "deployment": "blue"},
		Content: Content{Input: Text(`{"origin":"JFK","destination":"SEA","date":"2026-10-20"}`)},
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = r.AppendJSON(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
