package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentaudit/agentaudit/internal/reveal"
)

func run(environ []string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(args, environ, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// What cannot be done is one line on stderr, and exit code 2.
func TestWrongUse(t *testing.T) {
	f := func(wanted string, args ...string) {
		t.Helper()
		code, _, stderr := run(nil, args...)
		if code != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, wanted) {
			t.Errorf("agentaudit %s: exit code %d, %q; want 2 and %q", strings.Join(args, " "), code, stderr, wanted)
		}
	}
	f("expected one of")
	f("unexpected argument bogus", "bogus")
	f("--bogus", "verify", "--bogus")
	f("--data DIR", "verify")
	f("--data DIR", "up")
	f("agentaudit up", "verify", "--data", t.TempDir())
	f("--reason=R (see agentaudit log reopen --help)", "log", "reopen", "--log", "agent.events/0")
	f("(see agentaudit verify-proof --help)", "verify-proof", "proof")
	f("one --log at a time", "verify", "--log", "agent.events/0", "--log", "agent.events/1", "--set", "log.level=info")
	f("(see agentaudit log --help)", "log", "bogus")
	f("key 1 is empty", "verify-proof", "proof", "--key", "")
	f("name of a log", "log", "reopen", "--log", "3", "--reason", "a", "--set", "log.level=info")
	f("agent.events and audit.system only", "log", "reopen", "--log", "audit.checkpoints/0", "--reason", "a", "--set", "log.level=info")
	f("log.level", "config", "--set", "log.level=loud")
	f("--since", "events", "--since", "yesterday", "--set", "log.level=info")
	f("--limit", "events", "--limit", "0", "--set", "log.level=info")
	f("no such file", "emit", "/nowhere.jsonl", "--set", "log.level=info")
	f("--role", "apikey", "add")
	f("root", "apikey", "add", "--role", "root")
	f("--expires", "apikey", "add", "--role", "dpo", "--expires", "2020-01-01", "--set", "log.level=info")
	f("UUID", "apikey", "revoke", "aak_0", "--set", "log.level=info")
	f("--since and --until", "gdpr", "breach", "open", "--reason", "r", "--set", "log.level=info")
	f("--until", "gdpr", "breach", "open", "--reason", "r", "--since", "1h", "--until", "soon", "--set", "log.level=info")
	f("no event id", "gdpr", "breach", "open", "--reason", "r", "--entries", "cli_test.go", "--set", "log.level=info")
	f("privacy.breach_notice", "config", "--set", "privacy.breach_notice=5m")
	f("keys.source", "verify", "--set", "keys.source=file:/nowhere/keyring")
}

func TestHelpOfEachCommand(t *testing.T) {
	for _, command := range []string{
		"up", "emit", "scan", "score-series", "verify", "query", "events", "log list", "log export", "log reopen", "setup", "keys create", "keys create-author", "keys list", "keys rotate", "checkpoint", "prove", "verify-proof", "apikey add", "apikey list", "apikey revoke", "engine fetch", "config", "version",
	} {
		code, stdout, stderr := run(nil, append(strings.Fields(command), "--help")...)
		if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "Usage: agentaudit "+command) || !strings.Contains(stdout, "--data") {
			t.Errorf("%s: exit code %d, %q, %q", command, code, stdout, stderr)
		}
	}
	if _, stdout, _ := run(nil, "--help"); strings.Contains(stdout, "-child") {
		t.Error("help shows what is not for users")
	}
}

func TestConfigCommand(t *testing.T) {
	code, stdout, stderr := run([]string{"AGENTAUDIT_CLICKHOUSE__PASSWORD=hunter2"}, "config", "--set", "deployment=here")
	if code != 0 || !strings.Contains(stdout, "deployment: here") || strings.Contains(stdout, "hunter2") || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	dir := t.TempDir()
	keyring, key := filepath.Join(dir, "keyring"), filepath.Join(dir, "exporter.key")
	for command, file := range map[string]string{"create": keyring, "create-author": key} {
		args := []string{"keys", command, "--set", "keys.source=file:" + keyring, "--set", "exporter.author_key_file=" + key}
		if code, _, stderr := run(nil, args...); code != 0 {
			t.Fatalf("keys %s: %q", command, stderr)
		}
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
		code, _, stderr := run(nil, args...)
		after, err := os.ReadFile(file)
		if err != nil || code != 2 || strings.Count(stderr, "\n") != 1 || !bytes.Equal(before, after) {
			t.Errorf("keys %s again: exit code %d, %q, %v", command, code, stderr, err)
		}
	}
}

func TestPrintedEventsAreJSON(t *testing.T) {
	for n := range 3 {
		events := make([]reveal.Event, n)
		for i := range events {
			events[i] = reveal.Event{Log: "agent.events/0", Seq: uint64(i), Public: json.RawMessage(`{"type":"a"}`)}
		}
		var out bytes.Buffer
		var back []reveal.Event
		if err := printEventsJSON(&out, events); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || len(back) != n {
			t.Errorf("%d events: %v in %s", n, err, out.String())
		}
	}
}

// Whoever sends events must not move the cursor of whoever looks at them.
func TestPrintedEventsAreSafeForTerminals(t *testing.T) {
	var out bytes.Buffer
	err := printEvents(&out, []reveal.Event{{Type: "a\x1b[2Jb", Tenant: "t\r", User: "u\u202ev", Content: json.RawMessage("{\"input\":\"\u009b31m\"}"), ContentState: reveal.ContentOpened}})
	if err != nil || strings.ContainsAny(out.String(), "\x1b\r\u202e\u009b") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestLogsAreOrderedByNumber(t *testing.T) {
	order := []string{"agent.events/2", "agent.events/2.1", "agent.events/2.10", "agent.events/10", "audit.system/0"}
	for i := range order {
		for j := range order {
			if got := compareLogs(order[i], order[j]); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s and %s: %d", order[i], order[j], got)
			}
		}
	}
}
