package events

import (
	"bufio"
	"os"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// TestRealTraffic parses the records of real airline support agents.
func TestRealTraffic(t *testing.T) {
	file, err := os.Open(testkit.SharedData(t, "agent-traffic/airline.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	schema := compileSchema(t)
	parser, ev := NewParser(), new(Event)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, MaxRecordBytes)
	n := 0
	for lines.Scan() {
		n++
		if err := parser.Parse(lines.Bytes(), ev); err != nil {
			t.Fatalf("line %d: %v", n, err)
		}
		readAll(t, ev)
		if n%100 == 0 {
			checkAgainstSchema(t, schema, lines.Bytes(), nil)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if n != 4034 {
		t.Errorf("%d records, want 4034", n)
	}
}
