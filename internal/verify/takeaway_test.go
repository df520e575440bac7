package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/auditor"
)

// A log is exported, checked on another machine with the key alone, and whatever is changed in its files is found.
func TestExport(t *testing.T) {
	r := newRig(t)
	key := r.up.Endpoints(t).VerifierKeys[0]
	out := filepath.Join(t.TempDir(), "export")
	r.up.Good(t, "", "log", "export", "--out", out)
	offline := func(args ...string) (int, string, string) {
		t.Helper()
		var stdout, stderr strings.Builder
		return auditor.Main(t.Context(), append([]string{"--key", key}, args...), &stdout, &stderr), stdout.String(), stderr.String()
	}
	if code, stdout, stderr := offline("--folder", out); code != 0 || !strings.Contains(stdout, "in 2 logs: good") {
		t.Fatalf("exit code %d, %s%s", code, stdout, stderr)
	}
	good := r.up.Good(t, "", "verify", "--folder", out, "--key", key, "--json")
	if !strings.Contains(good, `"ok":true`) || !strings.Contains(good, fmt.Sprintf(`"size":%d`, r.entries)) {
		t.Errorf("verify --folder: %s", good)
	}
	// The same over HTTP, from the exporter.
	if code, stdout, stderr := offline("--url", r.up.Endpoints(t).HTTP+"/log/", "--log", theLog); code != 0 || !strings.Contains(stdout, "good") {
		t.Errorf("over HTTP: exit code %d, %s%s", code, stdout, stderr)
	}
	bundle := filepath.Join(out, theLog, "tile", "entries", "001.p", fmt.Sprint(r.entries-256))
	content, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle, []byte(strings.Replace(string(content), `"success"`, `"failure"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := offline("--folder", out); code != 1 || !strings.Contains(stdout, "BAD at seq 257: prev does not match") {
		t.Errorf("a changed file: exit code %d, %s", code, stdout)
	}
	for _, args := range [][]string{{}, {"--folder", out, "--url", "http://127.0.0.1:1/"}, {"--folder", out + "x"}, {"--folder", t.TempDir()}, {"--url", "x", "--log", theLog}, {"--url", "http://127.0.0.1:1/"}} {
		if code, _, stderr := offline(args...); code != 2 || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %q", args, code, stderr)
		}
	}
	if result := r.up.Run(t, "", "log", "export", "--out", out); result.Code != 2 {
		t.Errorf("exported into the same folder: %+v", result)
	}

	// Of a log that is not what is signed no export is finished.
	r.exec(t, "ALTER TABLE audit.events DELETE WHERE log = '"+theLog+"' AND seq = 7")
	second := filepath.Join(t.TempDir(), "second")
	if result := r.up.Run(t, "", "log", "export", "--out", second, "--log", theLog); result.Code != 2 || !strings.Contains(result.Stderr, "at seq 7") {
		t.Errorf("export of a broken log: %+v", result)
	}
	if _, err := os.Stat(filepath.Join(second, theLog, "checkpoint")); err == nil {
		t.Error("an unfinished export has a checkpoint")
	}
}
