package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The built-in rules can be printed and are a file that --check accepts; what is wrong with a file is an answer, with lines.
func TestAlertsRules(t *testing.T) {
	code, printed, stderr := run(nil, "alerts", "rules", "--print")
	if code != 0 || stderr != "" || !strings.Contains(printed, "- id: login.brute_force\n") {
		t.Fatalf("exit code %d, %q, %q", code, printed, stderr)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(printed)
	if code, stdout, stderr := run(nil, "alerts", "rules", "--check", path); code != 0 || stderr != "" || !strings.Contains(stdout, "good: ") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}

	write("version: 1\nrules:\n  - {id: budget.cost, severity: critical, enabled: false}\n")
	code, stdout, _ := run(nil, "alerts", "rules", "--check", path, "--json")
	var good struct {
		OK    bool
		Rules []ruleLine
	}
	if err := json.Unmarshal([]byte(stdout), &good); err != nil || code != 0 || !good.OK {
		t.Fatalf("exit code %d, %q, %v", code, stdout, err)
	}
	found := false
	for _, r := range good.Rules {
		if r.ID == "budget.cost" {
			found = r.Severity == "critical" && !r.Enabled && !r.BuiltIn && r.Of == "subject" && r.Condition == "cost_usd > 50"
		}
	}
	if !found {
		t.Errorf("%s", stdout)
	}

	write("version: 1\nrules:\n  - id: a\n    title: \"\\e[2J\"\n    severity: low\n    on: tool.call\n    event: rowz > 3\n")
	code, stdout, stderr = run(nil, "alerts", "rules", "--check", path)
	if code != 1 || stderr != "" || !strings.Contains(stdout, ":7: rule a: event: column 1: undeclared reference to 'rowz'") || !strings.Contains(stdout, ":4: rule a: title") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, _ = run(nil, "alerts", "rules", "--check", path, "--json")
	var bad struct {
		OK       bool
		Mistakes []mistakeLine
	}
	if err := json.Unmarshal([]byte(stdout), &bad); err != nil || code != 1 || bad.OK || len(bad.Mistakes) != 2 || bad.Mistakes[0].Line != 4 {
		t.Errorf("exit code %d, %q, %v", code, stdout, err)
	}
	if code, stdout, _ := run(nil, "alerts", "rules", "--check", path+".none"); code != 1 || !strings.Contains(stdout, "no such file") {
		t.Errorf("exit code %d, %q", code, stdout)
	}
	if code, _, stderr := run(nil, "alerts", "rules"); code != 2 || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
