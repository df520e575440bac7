package scan

import (
	"errors"
	"strings"
	"testing"
)

func TestCustomPatterns(t *testing.T) {
	patterns, err := ParsePatterns(strings.NewReader(`patterns:
  - name: project
    literal: Bluebird
    threat: medium
  - name: ticket
    regexp: '\bPRJ-\d{4}\b'
    threat: low
  - name: secret_room
    regexp: '(?i)room\s+(12|13)b'
    threat: critical
`))
	if err != nil {
		t.Fatal(err)
	}
	sc := newScanner(t, Options{Patterns: patterns})
	f := func(text string, threat Threat, want string) {
		t.Helper()
		got, level := names(sc, text, FromUser)
		if strings.Join(got, "; ") != want || level != threat {
			t.Errorf("%q: %q, %s; want %q, %s", text, got, level, want, threat)
		}
	}
	f("about BLUEBIRD and blue\u200bbird", Medium, "custom.project=BLUEBIRD; custom.project=blue\u200bbird")
	f("PRJ-1234, XPRJ-1234, prj-1234, PRJ-12", Low, "custom.ticket=PRJ-1234")
	f("Room 12B, please", Critical, "custom.secret_room=Room 12B")
	f("Room 14B, please", Low, "")
}

func TestWrongPatternsAreRefused(t *testing.T) {
	f := func(line int, reason, file string) {
		t.Helper()
		_, err := ParsePatterns(strings.NewReader(file))
		var refused *PatternError
		if !errors.As(err, &refused) || refused.Line != line || !strings.Contains(refused.Reason, reason) {
			t.Errorf("%q: %v; want line %d, %q", file, err, line, reason)
		}
	}
	one := func(fields string) string {
		return "patterns:\n  - name: ok\n    literal: fine\n    threat: low\n  - " + strings.ReplaceAll(fields, ";", "\n    ") + "\n"
	}
	f(1, "patterns", "rules: []")
	f(1, "patterns", "- a")
	f(2, "YAML", "patterns:\n\t- a")
	f(5, "name", one("name: Upper;literal: abc;threat: low"))
	f(5, "name", one("literal: abc;threat: low"))
	f(5, "second", one("name: ok;literal: abc;threat: low"))
	f(5, "either", one("name: a;threat: low"))
	f(5, "either", one("name: a;literal: abc;regexp: abc;threat: low"))
	f(5, "threat", one("name: a;literal: abc"))
	f(7, "threat", one("name: a;literal: abc;threat: none"))
	f(6, "unknown key", one("name: a;litteral: abc;threat: low"))
	f(6, "twice", one("name: a;name: b;literal: abc;threat: low"))
	f(5, "at least 3", one("name: a;literal: ab;threat: low"))
	f(5, "at least 3", one(`name: a;regexp: '\d+|abc';threat: low`))
	f(5, "regexp", one("name: a;regexp: 'abc(';threat: low"))
	f(5, "longer", one("name: a;regexp: '"+strings.Repeat("abc", 300)+"';threat: low"))
	f(2, "want name", "patterns:\n  - just text\n")
	if _, err := ParsePatterns(strings.NewReader(strings.Repeat("#", maxPatternFile+1))); err == nil {
		t.Error("a file without bounds was read")
	}
	if patterns, err := ParsePatterns(strings.NewReader("")); err != nil || patterns != nil {
		t.Errorf("an empty file: %v, %v", patterns, err)
	}
}

func FuzzParsePatterns(f *testing.F) {
	f.Add([]byte("patterns:\n  - name: a\n    regexp: 'ab+c'\n    threat: high\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		patterns, err := ParsePatterns(strings.NewReader(string(file)))
		if err != nil {
			return
		}
		if _, err := New(Options{Patterns: patterns}); err != nil {
			t.Fatalf("%q was read, but cannot be used: %v", file, err)
		}
	})
}

func TestModelFilesAreChecked(t *testing.T) {
	for _, file := range [][]byte{[]byte("x"), modelFile[:len(modelFile)-1], append([]byte("y"), modelFile[1:]...)} {
		if _, err := New(Options{Model: file}); err == nil {
			t.Errorf("a model file of %d bytes was taken", len(file))
		}
	}
	if _, err := MarshalModel(&ModelParameters{}); err == nil {
		t.Error("a model without weights was written")
	}
}
