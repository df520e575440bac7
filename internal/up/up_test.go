package up_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up/uptest"
)

// children are those that endpoints.json names.
var children = []string{"kafka", "clickhouse", "ingest", "detector", "exporter"}

// events returns n events of a person, as JSON Lines.
func events(first, n int) string {
	var b strings.Builder
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, `{"schema":"agentaudit.event/v1","event_id":"01920000-0000-7000-8000-%012d","time":"2026-11-20T21:14:05Z","type":"tool.call",`+
			`"action":"search","outcome":"success","tenant":"acme","user_id":"zoe.quillfeather@example.org","session_id":"s-%d",`+
			`"content":{"input":"a private matter %d"}}`+"\n", i, i%3, i)
	}
	return b.String()
}

func awaitCount(t *testing.T, u *uptest.Up, want int) {
	t.Helper()
	var last string
	testkit.Eventually(t, time.Minute, func() bool {
		r := u.Run(t, "", "query", "SELECT count() FROM events WHERE kind = 'event'")
		last = strings.TrimSpace(r.Stdout)
		return r.Code == 0 && last == strconv.Itoa(want)
	}, fmt.Sprintf("%d events are stored", want))
}

func running(pid int) bool {
	// A child whose parent was killed is a zombie until init takes it; that is not running.
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(state), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestUp(t *testing.T) {
	u := uptest.Start(t, "")
	e := u.Endpoints(t)

	t.Run("endpoints.json is complete and for its owner only", func(t *testing.T) {
		for _, name := range children {
			if !running(e.Pids[name]) {
				t.Errorf("%s: pid %d does not run", name, e.Pids[name])
			}
		}
		if e.Kafka == "" || !strings.HasPrefix(e.ClickHouse, "http://127.0.0.1:") || !strings.HasPrefix(e.HTTP, "http://127.0.0.1:") ||
			e.ClickHouseUser == "" || len(e.ClickHousePassword) < 20 || e.Topic != "agent.events" || len(e.VerifierKeys) != 1 ||
			e.AdminKeyFile != filepath.Join(u.Dir, "secrets", "admin.key") {
			t.Errorf("got %+v", e)
		}
		err := filepath.WalkDir(u.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || strings.Contains(path, "/store/") {
				return nil // the engines' own files come and go; the folders above them are closed
			}
			if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 && !strings.HasSuffix(path, "/store") {
				t.Errorf("%s can be read by others: %s", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})

	t.Run("a second one is refused in one line with the pid", func(t *testing.T) {
		r := u.Run(t, "", "up")
		if r.Code != 2 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, strconv.Itoa(u.Pid())) {
			t.Errorf("exit code %d, %q", r.Code, r.Stderr)
		}
		if now := u.Endpoints(t); now.Kafka != e.Kafka {
			t.Error("it touched endpoints.json")
		}
	})

	t.Run("events are sent, stored, found and verified", func(t *testing.T) {
		if got := u.Good(t, events(0, 100), "emit"); got != "sent 100 events" {
			t.Errorf("emit: %q", got)
		}
		awaitCount(t, u, 100)
		verify(t, u)
		var found []struct {
			User    string
			Content struct{ Input string }
		}
		out := u.Good(t, "", "events", "--tenant", "acme", "--user", "zoe.quillfeather@example.org", "--session", "s-1", "--content", "--json")
		if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) != 33 {
			t.Fatalf("%d events found, %v:\n%.500s", len(found), err, out)
		}
		if found[0].User != "zoe.quillfeather@example.org" || !strings.HasPrefix(found[0].Content.Input, "a private matter") {
			t.Errorf("got %+v", found[0])
		}
		if out := u.Good(t, "", "events", "--user", "nobody", "--json"); out != "[]" {
			t.Errorf("events of nobody: %q", out)
		}
	})

	t.Run("invalid lines are named and not sent", func(t *testing.T) {
		r := u.Run(t, "{\"tenant\":1}\n", "emit")
		if r.Code != 1 || !strings.Contains(r.Stderr, "line 1") {
			t.Errorf("exit code %d, %q", r.Code, r.Stderr)
		}
	})

	t.Run("killed children come back and nothing is lost", func(t *testing.T) {
		sent := 100
		for _, name := range children {
			was := u.Endpoints(t).Pids[name]
			if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			u.AwaitRestart(t, name, was)
			testkit.Eventually(t, time.Minute, func() bool {
				return u.Run(t, "", "query", "SELECT 1").Code == 0
			}, "ClickHouse answers")
			testkit.Eventually(t, time.Minute, func() bool {
				r := u.Run(t, events(sent, 10), "emit")
				return r.Code == 0
			}, "Kafka takes events")
			sent += 10
			awaitAtLeast(t, u, sent)
		}
		verify(t, u)
	})

	t.Run("nothing secret or personal is in logs and output", func(t *testing.T) {
		secrets := []string{e.ClickHousePassword, "quillfeather", "private matter"}
		for _, name := range []string{"keyring", "exporter.key", "admin.key"} {
			text, err := os.ReadFile(filepath.Join(u.Dir, "secrets", name))
			if err != nil {
				t.Fatal(err)
			}
			secrets = append(secrets, strings.TrimSpace(string(text)))
		}
		logs, err := filepath.Glob(filepath.Join(u.Dir, "logs", "*"))
		if err != nil || len(logs) < len(children) {
			t.Fatalf("logs %v, %v", logs, err)
		}
		texts := map[string]string{"the output": u.Output()}
		for _, log := range logs {
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			texts[log] = string(text)
		}
		for where, text := range texts {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					t.Errorf("%s has %.12s…", where, secret)
				}
			}
		}
	})

	t.Run("it ends within 10 seconds and leaves nothing running", func(t *testing.T) {
		e := u.Endpoints(t)
		if took := u.Stop(t); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		for _, name := range children {
			if running(e.Pids[name]) {
				t.Errorf("%s still runs", name)
			}
		}
		if _, err := os.Stat(filepath.Join(u.Dir, "endpoints.json")); err == nil {
			t.Error("endpoints.json is still there")
		}
	})

	t.Run("the next one has the same addresses and data", func(t *testing.T) {
		again := uptest.Start(t, u.Dir, "--quiet")
		now := again.Endpoints(t)
		if now.Kafka != e.Kafka || now.ClickHouse != e.ClickHouse || now.HTTP != e.HTTP || now.ClickHousePassword != e.ClickHousePassword {
			t.Errorf("got %+v, want %+v", now, e)
		}
		verify(t, again)
		awaitAtLeast(t, again, 150)
		if strings.Contains(again.Output(), "ingest     |") {
			t.Error("--quiet shows what the children log")
		}
	})
}

// awaitAtLeast is awaitCount after emits that were repeated: what arrived although it failed is there twice.
func awaitAtLeast(t *testing.T, u *uptest.Up, want int) {
	t.Helper()
	testkit.Eventually(t, time.Minute, func() bool {
		r := u.Run(t, "", "query", fmt.Sprintf("SELECT uniqExact(event_id) FROM events WHERE kind = 'event' HAVING uniqExact(event_id) = %d", want))
		return r.Code == 0 && r.Stdout != ""
	}, fmt.Sprintf("%d different events are stored", want))
}

func verify(t *testing.T, u *uptest.Up) {
	t.Helper()
	for _, args := range [][]string{{"verify", "--json"}, {"verify", "--json", "--deep"}} {
		var report struct{ OK bool }
		r := u.Run(t, "", args...)
		if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || !report.OK || r.Code != 0 {
			t.Fatalf("%v: exit code %d, %v\n%s%s", args, r.Code, err, r.Stdout, r.Stderr)
		}
	}
}

// However `up` dies, its children go with it, and the next one starts on what they left.
func TestKilledUpTakesItsChildrenAlong(t *testing.T) {
	u := uptest.Start(t, "")
	u.Good(t, events(0, 10), "emit")
	pids := u.Endpoints(t).Pids
	u.Kill()
	testkit.Eventually(t, 10*time.Second, func() bool {
		for _, pid := range pids {
			if running(pid) {
				return false
			}
		}
		return true
	}, "all children are gone")
	again := uptest.Start(t, u.Dir)
	awaitCount(t, again, 10)
	verify(t, again)
}

// Whatever is wrong before anything runs is one line and exit code 2.
func TestRefusals(t *testing.T) {
	bin := uptest.Binaries(t)
	f := func(name, dir string, wanted []string, args ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			if dir == "" {
				dir = filepath.Join(t.TempDir(), "up")
			}
			r := uptest.RunIn(t, bin, "", append([]string{"up", "--data", dir}, args...)...)
			if r.Code != 2 || strings.Count(r.Stderr, "\n") != 1 {
				t.Errorf("exit code %d, stderr %q", r.Code, r.Stderr)
			}
			for _, text := range wanted {
				if !strings.Contains(r.Stderr, text) {
					t.Errorf("%q does not say %q", r.Stderr, text)
				}
			}
		})
	}
	f("unknown key", "", []string{"did you mean ingest.batch.max_rows?"}, "--set", "ingest.batch.maxrows=5")
	f("value out of range", "", []string{"ingest.batch.max_rows", `"0"`, "1 to 100000"}, "--set", "ingest.batch.max_rows=0")
	f("secret on the command line", "", []string{"clickhouse.password_file"}, "--set", "clickhouse.password=x")
	f("two brokers", "", []string{"kafka.brokers"}, "--set", "kafka.brokers=127.0.0.1:1,127.0.0.1:2")
	f("cluster", "", []string{"clickhouse.addresses", "cluster"}, "--set", "clickhouse.cluster=c")
	f("login to the embedded broker", "", []string{"kafka.sasl"}, "--set", "kafka.sasl.mechanism=plain", "--set", "kafka.sasl.username=u", "--set", "kafka.sasl.password_file=p")
	f("unknown flag", "", []string{"--smaple"}, "--smaple")

	t.Run("what was refused is not kept", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "up")
		for range 2 {
			r := uptest.RunIn(t, bin, "", "up", "--data", dir, "--set", "kafka.brokers=127.0.0.1:1,127.0.0.1:2")
			if r.Code != 2 || !strings.Contains(r.Stderr, "kafka.brokers") {
				t.Errorf("exit code %d, %q", r.Code, r.Stderr)
			}
		}
		if files, err := filepath.Glob(filepath.Join(dir, "config.yaml*")); err != nil || len(files) != 0 {
			t.Errorf("%v, %v", files, err)
		}
	})

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	f("a folder of somebody else", foreign, []string{"thesis.txt", "empty folder"})

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f("address in use", "", []string{taken.Addr().String(), "--kafka-addr"}, "--kafka-addr", taken.Addr().String())
}

// A library that is not the expected one is named in one line that says what to do.
func TestWrongEngineLibrary(t *testing.T) {
	bin := uptest.Binaries(t)
	for _, args := range [][]string{{"engine-child"}} {
		file := filepath.Join(t.TempDir(), "libchdb.so")
		if err := os.WriteFile(file, []byte("not a library"), 0o644); err != nil {
			t.Fatal(err)
		}
		password := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(password, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf(`{"library":%q,"dir":%q,"listen":"127.0.0.1:0","user":"u","password_file":%q}`+"\n", file, t.TempDir(), password)
		r := uptest.RunIn(t, bin, config, args...)
		if r.Code == 0 || strings.Count(r.Stderr, "\n") != 1 || !strings.Contains(r.Stderr, "libchdb.so") {
			t.Errorf("exit code %d, %q", r.Code, r.Stderr)
		}
	}
}
