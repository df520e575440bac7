package events

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// secret stands for what must never leave a record through an error.
const secret = "jane.roe@example.org"

// with returns a valid record with further members, and secrets in it.
func with(members string) []byte {
	return []byte(`{"schema":"agentaudit.event/v1","event_id":"0199f0c2-8d1e-7a44-9b7e-2f6d1c0a9e55","time":"2026-11-20T21:14:05Z",` +
		`"type":"tool.call","action":"send","outcome":"success","tenant":"acme","user_id":"` + secret + `"` + members + `}`)
}

// replaced returns a valid record with one text replaced.
func replaced(old, new string) []byte {
	return []byte(strings.Replace(string(with("")), old, new, 1))
}

// TestBadInput has a row for every kind of bad input that a topic may hold. More stand in
// schemas/vectors/events/rejected.jsonl.
func TestBadInput(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	f := func(name string, record []byte, want string) {
		t.Helper()
		err := parser.Parse(record, ev)
		var invalid *Invalid
		if !errors.As(err, &invalid) {
			t.Errorf("%s: error %v, want %s", name, err, want)
			return
		}
		if err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if strings.Contains(err.Error(), "jane") {
			t.Errorf("%s: the error quotes the record", name)
		}
		if ev.seen != 0 || ev.has != 0 || ev.TimeMicros() != 0 || ev.Outcome() != 0 || ev.ID() != (UUID{}) || len(ev.attributes)+len(ev.subjects)+len(ev.unknown) != 0 {
			t.Errorf("%s: the event holds something", name)
		}
	}
	good := with("")
	if err := parser.Parse(good, ev); err != nil {
		t.Fatal(err)
	}
	f("not JSON", []byte(secret), "record: not a JSON object")
	f("broken JSON", with(`,"`+secret+`";1`), "record: not valid JSON")
	f("truncated", good[:len(good)-5], "record: truncated: it ends inside the JSON object")
	f("1 MiB + 1", with(fmt.Sprintf(`,"content":{"input":"%s"}`, strings.Repeat("a", MaxRecordBytes+1-len(with(`,"content":{"input":""}`))))), "record: larger than 1 MiB")
	f("duplicate key", with(`,"user_id":"`+secret+`"`), "user_id: appears twice")
	f("duplicate key by escapes", with(`,"us\u0065r_id":"x"`), "user_id: appears twice")
	f("duplicate key in an object", with(`,"tool":{"name":"a","name":"b"}`), "tool.name: appears twice")
	f("duplicate key in content", with(`,"content":{"input":{"`+secret+`":1,"`+secret+`":2}}`), "content.input: an object has two members of one name")
	f("invalid UTF-8", replaced("jane", "j\xffne"), "user_id: not valid UTF-8")
	f("lone surrogate", replaced("jane", `j\ud800ne`), "user_id: contains half of a surrogate pair")
	f("NUL byte", replaced("jane", "j\x00ne"), "user_id: contains a NUL character")
	f("NUL escape", replaced("jane", `j\u0000ne`), "user_id: contains a NUL character")
	f("wrong type", replaced(`"`+secret+`"`, `7`), "user_id: must be a string, not a number")
	f("null", replaced(`"`+secret+`"`, `null`), "user_id: must be a string, not null")
	f("missing field", replaced(`"tenant":"acme",`, ""), "tenant: missing")
	f("empty field", replaced(secret, ""), "user_id: empty")
	f("year 9999", replaced("2026-", "9999-"), "time: after the year 2199")
	f("year 1900", replaced("2026-", "1900-"), "time: before the year 2000")
	f("number out of range", with(`,"usage":{"input_tokens":1e400}`), "usage.input_tokens: must be a whole number, written without fraction or exponent")
	f("negative number", with(`,"rows":-1`), "rows: must not be negative")
	f("large number", with(`,"duration_ms":99999999999999999999`), "duration_ms: larger than 9007199254740991")
	f("large cost", with(`,"usage":{"cost_usd":1e10}`), "usage.cost_usd: larger than 1000000000")
	f("10,000 attributes", with(`,"attributes":{`+manyMembers(10_000)+`}`), "attributes: larger than 16 KiB")
	f("deep nesting", with(`,"content":{"input":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}`), "content.input: nested deeper than 64 levels")
	f("deep unknown member", with(`,"x":`+strings.Repeat(`{"a":`, 100)+"1"+strings.Repeat("}", 101)), "record: nested deeper than 64 levels")
	f("empty record", []byte{}, "record: empty")
	f("tombstone", nil, "record: empty")
}

// manyMembers returns n members of an object.
func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"key%d":"v"`, i)
	}
	return b.String()[1:]
}

// TestReservedTypes: the parser accepts them, and says so for whoever reads a public topic.
func TestReservedTypes(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	f := func(name string, want bool) {
		t.Helper()
		if err := parser.Parse(replaced("tool.call", name), ev); err != nil {
			t.Fatal(err)
		}
		if ev.Reserved() != want {
			t.Errorf("%s: reserved %v", name, ev.Reserved())
		}
	}
	f("audit.read", true)
	f("gdpr.erased", true)
	f("retention.prune", true)
	f("alert.raised", true)
	f("alert", true)
	f(`\u0061lert.x`, true)
	f("alerts.raised", false)
	f("audit_x.read", false)
	f("my.audit", false)
}

// TestManyNames: a record with as many names as fit takes linear time, and the memory for it is
// not kept for ever.
func TestManyNames(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	f := func(record []byte) {
		t.Helper()
		if len(record) > MaxRecordBytes {
			t.Fatal("test record too large")
		}
		if err := parser.Parse(record, ev); err != nil {
			t.Fatal(err)
		}
	}
	f(with("," + manyMembers(60_000)))
	if ev.NumUnknown() != 60_000 {
		t.Errorf("%d unknown members", ev.NumUnknown())
	}
	f(with(`,"content":{"input":{` + manyMembers(60_000) + `},"output":{` + manyMembers(1000) + `}}`))
	// A thousand large objects that hold each other's names.
	f(with(`,"content":{"input":[` + strings.Repeat(`{`+manyMembers(40)+`},`, 1000) + `1]}`))
	f(with(""))
	if len(parser.names.table) > keptNameSlots || cap(ev.unknown) > keptMembers {
		t.Errorf("%d slots and %d members are kept", len(parser.names.table), cap(ev.unknown))
	}
}

// TestSteadyStateAllocations: no record allocates once memory has grown to its size.
func TestSteadyStateAllocations(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	for _, v := range readVectors(t, "accepted.jsonl") {
		if got := testing.AllocsPerRun(10, func() {
			if err := parser.Parse(v.Record, ev); err != nil {
				t.Fatal(err)
			}
		}); got > 0 {
			t.Errorf("%s: %v allocations", v.Name, got)
		}
	}
}
