package events

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// FuzzParse compares the parser with jsontext, a strict JSON parser by others that refuses
// duplicate names and invalid UTF-8 too, and with the JSON Schema:
//   - what the parser accepts, both accept;
//   - what both accept, the parser accepts, apart from what a schema cannot say (beyondSchema).
//
// In what is accepted, every accessor must work and each string must read as jsontext reads it.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"accepted.jsonl", "rejected.jsonl"} {
		for _, v := range readVectors(f, file) {
			if len(v.Record) < 4096 {
				f.Add([]byte(v.Record))
			}
		}
	}
	for _, record := range []string{event470, event840, event1400} {
		f.Add([]byte(record))
	}
	schema := compileSchema(f)
	parser, ev := NewParser(), new(Event)
	f.Fuzz(func(t *testing.T, record []byte) { checkAgreement(t, schema, parser, ev, record) })
}

// checkAgreement parses a record and compares the result with jsontext and the schema, as
// FuzzParse says.
func checkAgreement(t *testing.T, schema *jsonschema.Schema, parser *Parser, ev *Event, record []byte) {
	t.Helper()
	before := bytes.Clone(record)
	err := parser.Parse(record, ev)
	if !bytes.Equal(before, record) {
		t.Fatal("the parser changed the record")
	}
	var invalid *Invalid
	if err != nil && (!errors.As(err, &invalid) || invalid.Field == "" || invalid.Reason == "") {
		t.Fatalf("error %v without field and reason", err)
	}
	strict := jsontext.Value(record).IsValid()
	switch {
	case err == nil && !strict:
		t.Fatal("the parser accepts what jsontext refuses")
	case err == nil:
		readAll(t, ev)
		checkAgainstSchema(t, schema, record, nil)
	case strict && record[firstByte(record)] == '{':
		checkAgainstSchema(t, schema, record, err)
	}
}

// firstByte returns the offset of the first byte that is no white space.
func firstByte(record []byte) int { return len(record) - len(bytes.TrimLeft(record, " \t\r\n")) }

// readAll calls every accessor and compares strings with jsontext.
func readAll(t *testing.T, ev *Event) {
	t.Helper()
	var scratch []byte
	for f := FieldRecord; f < NumFields; f++ {
		raw, value := ev.Raw(f), ev.Value(f, scratch)
		if !ev.Has(f) {
			if raw != nil || value != nil || ev.Uint(f) != 0 {
				t.Fatalf("%s is absent and has a value", f)
			}
			continue
		}
		switch fields[f].kind {
		case kindAny, kindObject, kindAttributes, kindSubjects, kindCount, kindCost:
			if !jsontext.Value(raw).IsValid() {
				t.Fatalf("%s: raw value is not JSON", f)
			}
		default:
			checkString(t, raw, value)
		}
	}
	if ev.Outcome().String() != string(ev.Value(FieldOutcome, nil)) {
		t.Fatal("outcome differs from its text")
	}
	if micros := ev.TimeMicros(); micros < minTimeMicros || micros >= endTimeMicros {
		t.Fatalf("time %d", micros)
	}
	for i := range ev.NumDataSubjects() {
		checkString(t, ev.subjects[i].of(ev.record), ev.DataSubject(i, nil))
	}
	for i := range ev.NumAttributes() {
		key, value := ev.RawAttribute(i)
		checkString(t, key, AppendUnescaped(nil, key))
		checkString(t, value, AppendUnescaped(nil, value))
	}
	for i := range ev.NumUnknown() {
		_, member := ev.Unknown(i)
		if object := append(append([]byte{'{'}, member...), '}'); !jsontext.Value(object).IsValid() {
			t.Fatal("an unknown member is no member of JSON")
		}
	}
}

// checkString compares an unescaped value with jsontext's, and quotes it again.
func checkString(t *testing.T, raw, value []byte) {
	t.Helper()
	want, err := jsontext.AppendUnquote(nil, append(append([]byte{'"'}, raw...), '"'))
	if err != nil || !bytes.Equal(value, want) {
		t.Fatalf("value %q, jsontext %q, %v", value, want, err)
	}
	if !unescapedEqual(raw, want) || unescapedEqual(raw, append(want, 'x')) {
		t.Fatalf("unescapedEqual of %q", raw)
	}
	again, err := jsontext.AppendUnquote(nil, AppendQuoted(nil, value))
	if err != nil || !bytes.Equal(value, again) {
		t.Fatalf("quoted %q, reads as %q, %v", value, again, err)
	}
}
