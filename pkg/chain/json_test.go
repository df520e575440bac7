package chain

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestScanObject(t *testing.T) {
	good := func(text string) {
		t.Helper()
		if err := scanObject([]byte(text), nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	bad := func(text string) {
		t.Helper()
		if scanObject([]byte(text), nil) == nil {
			t.Errorf("%s: accepted", text)
		}
	}
	good(`{}`)
	good("{ \"a\" : [ 1 , -0.5e+7, true,false,null , \"\\u00e4\\\"\" ] ,\t\"b\":{\"a\":1}\n}")
	bad(``)
	bad(`[]`)
	bad(`{} `)
	bad(`{"a":1,}`)
	bad(`{"a":01}`)
	bad(`{"a":.5}`)
	bad(`{"a":1.}`)
	bad(`{"a":+1}`)
	bad(`{"a":1e}`)
	bad(`{"a":tru}`)
	bad(`{"a":"\u12g4"}`)
	bad("{\"a\":\"\\u12\x104\"}")
	bad(`{"a":"\'"}`)
	bad("{\"a\":\"\n\"}")
	bad("{\"a\":\"\xed\xa0\x80\"}") // a surrogate in UTF-8
	bad(`{"a":1,"a":1}`)
	bad(`{"a":1,"\u0061":1}`)
	bad(`{"x":[{"a":1,"a":1}]}`)
	bad(`{"a":` + strings.Repeat("[", 1<<20))
}

// FuzzScanObject holds scanObject against encoding/json, which is laxer in two known ways only.
func FuzzScanObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,-0.5e7,true,"\u00e4"],"b":{"a":null}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := scanObject(text, nil)
		lax := len(text) > 0 && text[0] == '{' && text[len(text)-1] == '}' && json.Valid(text) && utf8.Valid(text)
		switch {
		case err == nil && !lax:
			t.Fatal("accepted what encoding/json refuses")
		case err != nil && lax && !errors.Is(err, errJSONRepeated) && strings.Count(string(text), "[")+strings.Count(string(text), "{") < maxJSONDepth:
			t.Fatalf("refused what encoding/json accepts: %v", err)
		}
	})
}

func TestTextHasOneForm(t *testing.T) {
	for _, s := range []string{"", "plain", `quote " backslash \`, "tab\tnew\nline\x00", "Čau 客户 👋", "<&>\u2028\x7f"} {
		quoted := appendText(nil, s)
		var back string
		if err := json.Unmarshal(quoted, &back); err != nil || back != s {
			t.Errorf("%q became %s, which says %q", s, quoted, back)
		}
		c := cursor{bytes: quoted}
		if got, ok := c.text(); !ok || got != s || !c.done() {
			t.Errorf("%s is not read back", quoted)
		}
	}
	if got := string(appendText(nil, "\xff")); got != "\"\ufffd\"" {
		t.Errorf("invalid UTF-8 became %q", got)
	}
	for _, other := range []string{`"\u0061"`, `"\/"`, `"\n"`, `"\u000A"`, ` "a"`} {
		c := cursor{bytes: []byte(other)}
		if _, ok := c.text(); ok {
			t.Errorf("%s is accepted", other)
		}
	}
}
