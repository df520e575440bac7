package rules

import (
	"bufio"
	"os"
	"testing"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/pkg/events"
	"github.com/agentaudit/agentaudit/pkg/scan"
)

// The built-in rules on single events are silent over the ordinary days of real airline support agents.
func TestBuiltInRulesOnRealTraffic(t *testing.T) {
	file, err := os.Open(testkit.SharedData(t, "agent-traffic/airline.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	set, err := BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	m, parser, ev := set.Matcher(), events.NewParser(), new(events.Event)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, events.MaxRecordBytes)
	n := 0
	for ; lines.Scan(); n++ {
		if err := parser.Parse(lines.Bytes(), ev); err != nil {
			t.Fatal(err)
		}
		for _, i := range m.Match(nil, ev, nil, scan.None) {
			t.Errorf("record %d: %s", n+1, set.Rule(i).ID)
		}
	}
	if err := lines.Err(); err != nil || n < 4000 {
		t.Errorf("%d records, %v", n, err)
	}
}
