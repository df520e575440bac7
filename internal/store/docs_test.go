package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// TestDocumentedQueries runs every example of docs/queries.md.
func TestDocumentedQueries(t *testing.T) {
	s := newStore(t)
	l := newTestLog(t, "agent.events/0")
	storeLog(t, s, l, 2, 200)
	insert(t, openWriter(t, s, l.head.Log), fill(t, NewBlock(), l.rejected("not JSON", 10)))
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "queries.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.Split(string(text), "```sql\n")[1:] {
		sql, _, ended := strings.Cut(part, "```")
		if !ended {
			t.Fatalf("an example does not end: %s", sql)
		}
		n++
		var got bytes.Buffer
		if err := s.Query(context.Background(), sql, "TabSeparatedWithNames", &got); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		checkExample(t, sql, got.String())
	}
	if n < 10 {
		t.Errorf("%d examples were found", n)
	}
	for _, d := range described {
		if !bytes.Contains(text, []byte("`"+d.name+"`")) {
			t.Errorf("column %s is not described", d.name)
		}
	}
}

// checkExample holds some results against what was stored.
func checkExample(t *testing.T, sql, got string) {
	t.Helper()
	_, result, _ := strings.Cut(strings.TrimSuffix(got, "\n"), "\n")
	switch {
	case strings.Contains(sql, "lagInFrame"):
		if result != "" {
			t.Errorf("the chain is broken at %s", result)
		}
	case strings.Contains(sql, "'rejected', 'reason'"):
		if result != "user_id\tnot JSON\t1" {
			t.Errorf("rejected: %q", result)
		}
	case strings.Contains(sql, "AS last_offset"):
		if !strings.HasPrefix(result, "agent.events/0\t402\t400\t") {
			t.Errorf("logs: %q", result)
		}
	}
}
