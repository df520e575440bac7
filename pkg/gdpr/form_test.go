package gdpr

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agentaudit/agentaudit/schemas"
)

// formNow is the time that the vectors are meant for.
var formNow = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func formVectors[T any](t testing.TB, file string) (list []T) {
	t.Helper()
	text, err := os.ReadFile("../../schemas/vectors/requests/" + file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var one T
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	return list
}

func formSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.RequestSchema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("r.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("r.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// beyondFormSchema says whether the schema cannot express a reason.
func beyondFormSchema(e *FormError) bool {
	switch e.Reason {
	case "it has more than 64 KiB", "two members of an object have the same name", "is too long", "lies in the future", "is more than three months ago", "is for erasures",
		"it is no JSON object": // among others: what is no UTF-8
		return true
	}
	return false
}

// checkForm fails if parser and schema disagree.
func checkForm(t *testing.T, schema *jsonschema.Schema, text []byte, parsed error) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	var wrong *FormError
	switch {
	case parsed == nil && err != nil:
		t.Errorf("the parser accepts what the schema refuses: %v", err)
	case errors.As(parsed, &wrong) && err == nil && !beyondFormSchema(wrong):
		t.Errorf("the schema accepts what the parser refuses: %v", parsed)
	}
}

func TestFormVectors(t *testing.T) {
	schema := formSchema(t)
	type accepted struct {
		Name, Request, ID, Kind, Tenant, User string
		Submitted                             time.Time
		VerifiedBy                            string `json:"verified_by"`
		SuppressForever                       bool   `json:"suppress_forever"`
	}
	for _, v := range formVectors[accepted](t, "accepted.jsonl") {
		got, err := ParseForm([]byte(v.Request), formNow)
		want := Form{v.ID, RequestKind(v.Kind), v.Tenant, v.User, v.Submitted, v.VerifiedBy, v.SuppressForever}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", v.Name, got, err, want)
		}
		checkForm(t, schema, []byte(v.Request), err)
	}
	type rejected struct{ Name, Request, Field, Reason string }
	for _, v := range formVectors[rejected](t, "rejected.jsonl") {
		_, err := ParseForm([]byte(v.Request), formNow)
		var wrong *FormError
		if !errors.As(err, &wrong) || *wrong != (FormError{v.Field, v.Reason}) {
			t.Errorf("%s: %v; want %s: %s", v.Name, err, v.Field, v.Reason)
		}
		checkForm(t, schema, []byte(v.Request), err)
	}
	if _, err := ParseForm([]byte(`{"extensions":{"a":"`+strings.Repeat("a", MaxFormBytes)+`"}}`), formNow); err == nil {
		t.Error("too large, and accepted")
	}
}

// Whatever comes: no panic, agreement with the schema, and no error that quotes what came.
func FuzzParseForm(f *testing.F) {
	type vector struct{ Request string }
	for _, file := range []string{"accepted.jsonl", "rejected.jsonl"} {
		for _, v := range formVectors[vector](f, file) {
			f.Add([]byte(v.Request))
		}
	}
	schema := formSchema(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		form, err := ParseForm(text, formNow)
		if len(text) <= MaxFormBytes {
			checkForm(t, schema, text, err)
		}
		if err == nil && (form.ID == "" || !form.Kind.Valid() || form.User == "" || form.Submitted.IsZero()) {
			t.Errorf("read as %+v", form)
		}
	})
}
