package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
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
	text, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "detection.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	u := uptest.Start(t, filepath.Join(dir, ".data"), "--quiet")
	id := raiseAlert(t, u)

	// What the document has the reader write or have.
	for name, first := range map[string]string{"rules.yaml": "version: 1\n", "patterns.yaml": "patterns:\n"} {
		_, body, ok := strings.Cut(string(text), "```yaml\n"+first)
		if !ok {
			t.Fatalf("no %s in the document", name)
		}
		body, _, _ = strings.Cut(body, "```")
		writeFile(t, filepath.Join(dir, name), first+body)
	}
	writeFile(t, filepath.Join(dir, "DIR", "a.csv"), "timestamp,value\n2026-08-06 12:00:00,1\n2026-08-06 12:05:00,2\n")

	blocks := regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:```\n(.*?)^```)?").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 7 {
		t.Errorf("only %d blocks of commands found", len(blocks))
	}
	for _, block := range blocks {
		commands := regexp.MustCompile(`\bID\b`).ReplaceAllString(block[1], id)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", commands)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+uptest.Binaries(t)+":"+os.Getenv("PATH"))
		var problems strings.Builder
		cmd.Stderr = &problems
		out, err := cmd.Output()
		cancel()
		if err != nil {
			t.Errorf("%v\n%s\n%s%s", err, commands, out, problems.String())
		}
		if block[2] != "" && string(out) != block[2] {
			t.Errorf("%s\nprints\n%s\nthe document says\n%s", commands, out, block[2])
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
