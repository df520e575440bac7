package libchdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// The engine starts once in a process: each test runs a process of its own, this binary again.
const roleVariable = "AGENTAUDIT_LIBCHDB_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	os.Exit(m.Run())
}

func libraryPath() string {
	path, err := engine.LibraryPath("")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	return path
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
	return v
}

// play is the child.
func play(role string) {
	lib := must(libchdb.Load(libraryPath()))
	conn := must(lib.Connect("--path=" + os.Args[1]))
	text := func(sql string) string {
		res := must(conn.Query(sql, "TSVRaw"))
		defer res.Free()
		return strings.TrimSpace(string(res.Bytes()))
	}
	switch role {
	case "recover":
		func() {
			defer func() { fmt.Println("recovered:", recover()) }()
			dereference(nil)
		}()
		fmt.Println(text("SELECT 'alive'"))
	case "panic":
		dereference(nil)
	case "signals":
		// A Go handler for a signal goes on to work, and the engine's stack traces do too.
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGUSR1)
		must(0, syscall.Kill(os.Getpid(), syscall.SIGUSR1))
		fmt.Println(<-ch)
		fmt.Println(text("SELECT count() > 0 FROM system.stack_trace"))
		fmt.Println(text("SELECT 'alive'"))
	case "insert":
		text("CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a")
		in := must(conn.Insert("INSERT INTO t", "RowBinary"))
		in.Append([]byte("\x05a\n\n;b"))
		in.Append([]byte("\x01"))
		in.Append([]byte("c"))
		stats := must(in.Commit())
		in.Close()
		abandoned := must(conn.Insert("INSERT INTO {t:Identifier}", "RowBinary", libchdb.Param{Name: "t", Value: "t"}))
		abandoned.Append([]byte("\x01x"))
		abandoned.Close()
		fmt.Println(stats.WrittenRows, text("SELECT count(), sum(length(a)) FROM t"))
		_, err := conn.Insert("INSERT INTO nowhere", "RowBinary")
		fmt.Println(err)
		_, err = conn.Query("SELECT throwIf(1)", "TSV")
		var exception *libchdb.Error
		fmt.Println(errors.As(err, &exception), exception.Code)
		fmt.Println(must(conn.Classify("SELECT 1; SELECT 2")), must(conn.Classify("SELECT 1 INTO OUTFILE 'x'")), must(conn.Classify("SELEC FROM")))
	}
	conn.Close()
}

func dereference(p *int) { *p = 1 }

// in runs a role and returns what it said, and its exit code.
func in(t *testing.T, role string) (out string, code int) {
	t.Helper()
	if _, err := engine.LibraryPath(""); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0], t.TempDir())
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// Go's own handling of a fault is intact after the engine has started: a nil dereference is a panic.
func TestNilDereferencePanics(t *testing.T) {
	out, code := in(t, "recover")
	if code != 0 || !strings.Contains(out, "recovered: runtime error: invalid memory address or nil pointer dereference") || !strings.Contains(out, "alive") {
		t.Errorf("recovered: exit %d\n%s", code, out)
	}
	out, code = in(t, "panic")
	if code != 2 || !strings.Contains(out, "panic: runtime error: invalid memory address") || !strings.Contains(out, "libchdb_test.dereference") {
		t.Errorf("not recovered: exit %d\n%s", code, out)
	}
}

func TestSignals(t *testing.T) {
	if out, code := in(t, "signals"); code != 0 || out != "user defined signal 1\n1\nalive\n" {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestInsert(t *testing.T) {
	out, code := in(t, "insert")
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) < 5 || lines[0] != "2 2\t6" || !strings.HasPrefix(lines[1], "Code: 60. ") || lines[2] != "true 395" || lines[3] != "{2 0} {1 3} {0 4}" {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestLoadRefuses(t *testing.T) {
	path := t.TempDir() + "/lib.so"
	if err := os.WriteFile(path, []byte("no library"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + "x"} {
		if _, err := libchdb.Load(p); err == nil || !strings.Contains(err.Error(), p) {
			t.Errorf("load %s: %v", p, err)
		}
	}
	// A library without the engine's functions.
	if _, err := libchdb.Load("libc.so.6"); err == nil || !strings.Contains(err.Error(), "chdb_connect is missing") {
		t.Errorf("load libc: %v", err)
	}
}
