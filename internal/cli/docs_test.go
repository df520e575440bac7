package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// TestDetectionDocumentsCommands runs the commands of docs/detection.md as they are written there, one block after the other in one folder, beside a deployment
// with an alert. What is printed is compared where the document shows it, in the block that follows at once.
func TestDetectionDocumentsCommands(t *testing.T) {
	text := uptest.Document(t, "docs/detection.md")
	dir := t.TempDir()
	u := uptest.Start(t, filepath.Join(dir, ".data"), "--quiet")
	id := raiseAlert(t, u)

	// What the document has the reader write or have.
	for name, first := range map[string]string{"rules.yaml": "version: 1\n", "patterns.yaml": "patterns:\n"} {
		_, body, ok := strings.Cut(text, "```yaml\n"+first)
		if !ok {
			t.Fatalf("no %s in the document", name)
		}
		body, _, _ = strings.Cut(body, "```")
		writeFile(t, filepath.Join(dir, name), first+body)
	}
	writeFile(t, filepath.Join(dir, "DIR", "a.csv"), "timestamp,value\n2026-08-06 12:00:00,1\n2026-08-06 12:05:00,2\n")

	blocks := uptest.Blocks(text)
	if len(blocks) < 7 {
		t.Errorf("only %d blocks of commands found", len(blocks))
	}
	for _, block := range blocks {
		commands := regexp.MustCompile(`\bID\b`).ReplaceAllString(block.Commands, id)
		r := uptest.Shell(t, dir, commands, "PATH="+uptest.Binaries(t)+":"+os.Getenv("PATH"))
		if r.Code != 0 {
			t.Errorf("exit code %d\n%s\n%s%s", r.Code, commands, r.Stdout, r.Stderr)
		}
		if block.Prints != "" && r.Stdout != block.Prints {
			t.Errorf("%s\nprints\n%s\nthe document says\n%s", commands, r.Stdout, block.Prints)
		}
	}
	if scores, err := os.ReadFile(filepath.Join(dir, "OUT", "a.csv")); err != nil || !strings.HasPrefix(string(scores), "timestamp,anomaly_score\n") {
		t.Errorf("%q, %v", scores, err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// raiseAlert has somebody fail to log in too often, and returns the id of the alert.
func raiseAlert(t *testing.T, u *uptest.Up) (id string) {
	t.Helper()
	var lines strings.Builder
	for i := range 12 {
		fmt.Fprintf(&lines, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":%q,"type":"auth.login","action":"log in","outcome":"failure","tenant":"acme","user_id":"mia"}`+"\n",
			i, time.Now().UTC().Format(time.RFC3339))
	}
	u.Good(t, lines.String(), "emit")
	testkit.Eventually(t, time.Minute, func() bool {
		var list []struct{ ID string }
		if err := json.Unmarshal([]byte(u.Good(t, "", "alerts", "--json")), &list); err != nil || len(list) == 0 {
			return false
		}
		id = list[0].ID
		return true
	}, "there is an alert")
	return id
}
