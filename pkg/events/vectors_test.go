package events

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// vector is a line of schemas/vectors/events; the README there describes it.
type vector struct {
	Name   string
	Note   string
	Record vectorRecord

	// rejected.jsonl
	Field, Reason string

	// accepted.jsonl
	TimeMicros   int64 `json:"time_micros"`
	Fields       map[string]any
	DataSubjects []string `json:"data_subjects"`
	Attributes   map[string]string
	Content      map[string]string
	Unknown      []struct{ Group, Member string }
	Reserved     bool
}

// vectorRecord is a record: a text, or parts that follow each other.
type vectorRecord []byte

func (r *vectorRecord) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		var text string
		err := json.Unmarshal(data, &text)
		*r = vectorRecord(text)
		return err
	}
	var parts []struct {
		Text   string
		Base64 []byte
		Times  int
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	for _, part := range parts {
		for range max(1, part.Times) {
			*r = append(append(*r, part.Text...), part.Base64...)
		}
	}
	return nil
}

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	data, err := os.ReadFile("../../schemas/vectors/events/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var v vector
		decoder := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		decoder.UseNumber()
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("%s line %d: %v", file, len(vectors)+1, err)
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func TestAcceptedVectors(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	for _, v := range readVectors(t, "accepted.jsonl") {
		t.Run(v.Name, func(t *testing.T) {
			if err := parser.Parse(v.Record, ev); err != nil {
				t.Fatal(err)
			}
			if ev.TimeMicros() != v.TimeMicros {
				t.Errorf("time %d, want %d", ev.TimeMicros(), v.TimeMicros)
			}
			if ev.Reserved() != v.Reserved {
				t.Errorf("reserved %v", ev.Reserved())
			}
			for f := FieldSchema; f <= FieldCostUSD; f++ {
				checkField(t, ev, f, v.Fields[f.String()])
				delete(v.Fields, f.String())
			}
			for path := range v.Fields {
				t.Errorf("%s is no field", path)
			}
			if got := dataSubjects(ev); !slices.Equal(got, v.DataSubjects) {
				t.Errorf("data_subjects %q, want %q", got, v.DataSubjects)
			}
			if got := attributes(ev); !maps.Equal(got, v.Attributes) {
				t.Errorf("attributes %q, want %q", got, v.Attributes)
			}
			for path, raw := range v.Content {
				f := map[string]Field{"input": FieldContentInput, "output": FieldContentOutput}[path]
				if got := string(ev.Raw(f)); got != raw {
					t.Errorf("content.%s %q, want %q", path, got, raw)
				}
			}
			if ev.NumUnknown() != len(v.Unknown) {
				t.Fatalf("%d unknown members, want %d", ev.NumUnknown(), len(v.Unknown))
			}
			for i, want := range v.Unknown {
				if group, member := ev.Unknown(i); group != want.Group || string(member) != want.Member {
					t.Errorf("unknown member %d: %q in %q, want %q in %q", i, member, group, want.Member, want.Group)
				}
			}
		})
	}
}

// checkField compares a field with its expected value, nil if it is absent.
func checkField(t *testing.T, ev *Event, f Field, want any) {
	t.Helper()
	if ev.Has(f) != (want != nil) {
		t.Errorf("has %s: %v", f, ev.Has(f))
		return
	}
	switch want := want.(type) {
	case string:
		if got := string(ev.Value(f, nil)); got != want {
			t.Errorf("%s %q, want %q", f, got, want)
		}
		if f == FieldOutcome && ev.Outcome().String() != want {
			t.Errorf("outcome %s, want %s", ev.Outcome(), want)
		}
		if id := UUID(ev.ID()); f == FieldEventID && !strings.EqualFold(id.String(), want) {
			t.Errorf("id %s, want %s", id, want)
		}
	case json.Number:
		if f == FieldCostUSD {
			if usd, err := want.Float64(); err != nil || ev.CostUSD() != usd {
				t.Errorf("%s %v, want %v", f, ev.CostUSD(), want)
			}
		} else if n, err := want.Int64(); err != nil || ev.Uint(f) != uint64(n) {
			t.Errorf("%s %d, want %s", f, ev.Uint(f), want)
		}
	}
}

func dataSubjects(ev *Event) (ids []string) {
	for i := range ev.NumDataSubjects() {
		ids = append(ids, string(ev.DataSubject(i, nil)))
	}
	return ids
}

func attributes(ev *Event) map[string]string {
	m := map[string]string{}
	for i := range ev.NumAttributes() {
		key, value := ev.RawAttribute(i)
		m[string(AppendUnescaped(nil, key))] = string(AppendUnescaped(nil, value))
	}
	return m
}

func TestRejectedVectors(t *testing.T) {
	parser, ev := NewParser(), new(Event)
	for _, v := range readVectors(t, "rejected.jsonl") {
		t.Run(v.Name, func(t *testing.T) {
			err := parser.Parse(v.Record, ev)
			var invalid *Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("error %v, want %s: %s", err, v.Field, v.Reason)
			}
			if invalid.Field != v.Field || invalid.Reason != v.Reason {
				t.Errorf("%v, want %s: %s", invalid, v.Field, v.Reason)
			}
		})
	}
}
