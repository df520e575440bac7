package archive

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/reveal"
)

func TestHarmless(t *testing.T) {
	f := func(cell, want string) {
		t.Helper()
		if got := harmless(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
	f("", "")
	f("mia@example.com", "mia@example.com")
	f("2026-11-20T21:14:05Z", "2026-11-20T21:14:05Z")
	f("=1+1", "'=1+1")
	f("+1", "'+1")
	f("-1", "'-1")
	f("@SUM(A1)", "'@SUM(A1)")
	f("\t=1", "'\t'=1")
	f("\r=1", "'\r'=1")
	f(" =1", " '=1")
	f("a;=1", "a;'=1")
	f("a; +1;b", "a; '+1;b")
	f("a\n=1", "a\n'=1")
	f(`";=1`, `";'=1`)
	f("＝1", "'＝1")
	f("%0A=1", "'%0A=1")
}

// Whatever is in an event: the table parses, has it, and no cell of it begins a formula.
func FuzzRow(f *testing.F) {
	f.Add("mia", "=1+1", `{"a":"b;c"}`)
	f.Add("a\r\n\"b\",", ";=1", `{"=;+":[1, 2]}`)
	f.Fuzz(func(t *testing.T, tenant, user, content string) {
		if !json.Valid([]byte(content)) {
			return
		}
		e := &reveal.Event{Log: "agent.events/0", Seq: 7, Tenant: tenant, User: user, Public: json.RawMessage(`{}`), Content: json.RawMessage(content)}
		text, err := appendRow(appendHeader(nil), e)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != len(columns) {
			t.Fatalf("%q: %v, %v", text, rows, err)
		}
		for i, cell := range rows[1] {
			if strings.IndexAny(cell, "=+-@\t\r") == 0 {
				t.Errorf("a formula in %s: %q", columns[i], cell)
			}
		}
		// encoding/csv reads \r\n within quotes as \n.
		same := strings.NewReplacer("'", "", "\r\n", "\n")
		if valid := strings.ToValidUTF8(user, "\ufffd"); valid == user && same.Replace(rows[1][8]) != same.Replace(user) {
			t.Errorf("user %q is %q", user, rows[1][8])
		}
		if strings.HasPrefix(strings.TrimSpace(content), "{") {
			var want, got bytes.Buffer
			if json.Compact(&want, []byte(content)) != nil || json.Compact(&got, []byte(strings.ReplaceAll(rows[1][15], `\u003b`, ";"))) != nil ||
				strings.ReplaceAll(want.String(), `\u003b`, ";") != got.String() {
				t.Errorf("content %q is %q", content, rows[1][15])
			}
		}
	})
}

func TestSpill(t *testing.T) {
	dir := t.TempDir()
	s, err := newSpill(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var want bytes.Buffer
	for range 100_000 {
		if _, err := s.Write([]byte("words of a person\n")); err != nil {
			t.Fatal(err)
		}
		want.WriteString("words of a person\n")
	}
	in, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(in); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) || s.size != int64(want.Len()) {
		t.Errorf("%d of %d bytes, %v", got.Len(), want.Len(), err)
	}
	// What is on the disk is encrypted.
	if _, err := s.file.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	var raw bytes.Buffer
	if _, err := raw.ReadFrom(s.file); err != nil || raw.Len() == 0 || bytes.Contains(raw.Bytes(), []byte("person")) {
		t.Errorf("%d bytes, %v", raw.Len(), err)
	}
}
