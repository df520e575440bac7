package events

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agentaudit/agentaudit/schemas"
)

// beyondSchema are the starts of the reasons that event.schema.json cannot express; its
// description lists them. The parser accepts no record that the schema refuses.
var beyondSchema = []string{
	reasonTooLarge, reasonPublicSize, reasonAttributesSize, reasonDepth, // sizes and depth
	"longer than ", reasonKeyLong, reasonNumberLength, // bytes where the schema counts characters
	reasonTwice, reasonTwoMembers, reasonUTF8, reasonSurrogate, reasonBOM, // what its reader has lost
	reasonNegative,                    // -0
	reasonNotWhole,                    // 1.0
	reasonBefore2000, reasonAfter2199, // the edges of zones
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.EventSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("event.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// checkAgainstSchema fails if parser and schema disagree about a record that is JSON.
func checkAgainstSchema(t *testing.T, schema *jsonschema.Schema, record []byte, parsed error) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(record))
	if err != nil {
		if parsed == nil {
			t.Errorf("the parser accepts what is not JSON: %v", err)
		}
		return
	}
	err = schema.Validate(value)
	var invalid *Invalid
	switch {
	case parsed == nil && err != nil:
		t.Errorf("the parser accepts what the schema refuses: %v", err)
	case errors.As(parsed, &invalid) && err == nil:
		beyond := func(start string) bool { return strings.HasPrefix(invalid.Reason, start) }
		if !slices.ContainsFunc(beyondSchema, beyond) {
			t.Errorf("the schema accepts what the parser refuses: %v", parsed)
		}
	}
}

func TestSchemaAgreesOnVectors(t *testing.T) {
	schema := compileSchema(t)
	for _, file := range []string{"accepted.jsonl", "rejected.jsonl"} {
		for _, v := range readVectors(t, file) {
			t.Run(v.Name, func(t *testing.T) {
				checkAgainstSchema(t, schema, v.Record, NewParser().Parse(v.Record, new(Event)))
			})
		}
	}
}

// TestSchemaHasEveryField compares the schema with the parser's table: names, nesting, limits.
func TestSchemaHasEveryField(t *testing.T) {
	root := compileSchema(t)
	known := 0
	for f := FieldRecord + 1; f < NumFields; f++ {
		holder := root
		if group := f.Group(); group != FieldRecord {
			holder = root.Properties[group.Name()]
		}
		property := holder.Properties[f.Name()]
		if property == nil {
			t.Errorf("%s is not in the schema", f)
			continue
		}
		known++
		if limit := fields[f].limit; property.MaxLength != nil && *property.MaxLength != limit {
			t.Errorf("%s: %d characters in the schema, %d bytes in the parser", f, *property.MaxLength, limit)
		}
		if fields[f].rules&required != 0 != slices.Contains(root.Required, f.String()) {
			t.Errorf("%s: required in one only", f)
		}
	}
	total := len(root.Properties)
	for _, property := range root.Properties {
		total += len(property.Properties)
	}
	if known != total {
		t.Errorf("the schema has %d members, the parser knows %d", total, known)
	}
}
