package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The command's exit code is passed on, and servers that are named already are not started.
func TestExitCodeAndEnvironment(t *testing.T) {
	program := filepath.Join(t.TempDir(), "withservices")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := func(command string, code int, output string) {
		t.Helper()
		cmd := exec.Command(program, "sh", "-c", command)
		cmd.Env = append(cmd.Environ(), "AGENTAUDIT_TEST_KAFKA=k", "AGENTAUDIT_TEST_POSTGRES=p", "AGENTAUDIT_TEST_CLICKHOUSE=c")
		out, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != code || strings.TrimSpace(string(out)) != output {
			t.Errorf("%s: exit code %d and output %q (%v), want %d and %q", command, cmd.ProcessState.ExitCode(), out, err, code, output)
		}
	}
	f("echo $AGENTAUDIT_TEST_KAFKA", 0, "k")
	f("exit 3", 3, "")
	f("kill -9 $$", 1, "")
	if err := exec.Command(program).Run(); err == nil {
		t.Error("no command at all is no error")
	}
}
