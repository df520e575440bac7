package up

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agentaudit/agentaudit/internal/testkit"
)

// shell is a child that runs a script.
func shell(t *testing.T, script string) (*child, *bytes.Buffer, func() []int) {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	var out bytes.Buffer
	shown := &console{out: &out}
	log, err := openChildLog(filepath.Join(t.TempDir(), "child.log"), "child", shown)
	if err != nil {
		t.Fatal(err)
	}
	spawner := newSpawner()
	t.Cleanup(spawner.close)
	var mu sync.Mutex
	var pids []int
	c := &child{
		program: program{name: "child", path: "/bin/sh", args: []string{"-c", script}, ready: func(context.Context) error { return nil }},
		env:     os.Environ(), spawner: spawner, log: log, console: shown,
		ended: make(chan struct{}), wake: make(chan struct{}),
		onStart: func(_ string, pid int) {
			mu.Lock()
			defer mu.Unlock()
			pids = append(pids, pid)
		},
	}
	return c, &out, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return append([]int(nil), pids...)
	}
}

func TestKilledChildIsStartedAgain(t *testing.T) {
	c, _, pids := shell(t, "echo up; exec sleep 1000")
	c.start()
	for n := 1; n <= 3; n++ {
		testkit.Eventually(t, 10*time.Second, func() bool { return len(pids()) == n }, "the child is started")
		if err := syscall.Kill(pids()[n-1], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	testkit.Eventually(t, 10*time.Second, func() bool { return len(pids()) == 4 }, "the child is started once more")
	c.stop(time.Second)
	if c.end != nil {
		t.Error(c.end)
	}
	if err := syscall.Kill(pids()[3], 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("it still runs: %v", err)
	}
}

func TestHopelessChildIsNot(t *testing.T) {
	f := func(starts int, script string) {
		t.Helper()
		c, _, pids := shell(t, script)
		c.program.ready = func(context.Context) error { return errors.New("not yet") }
		c.start()
		err := c.awaitReady(t.Context())
		if !errors.Is(err, errHopeless) || !strings.Contains(err.Error(), "no such key") || len(pids()) != starts {
			t.Errorf("%v after %d starts, want %d", err, len(pids()), starts)
		}
		c.stop(time.Second)
	}
	f(1, "echo no such key; exit 2")
	f(maxFirstTries, "echo no such key; exit 1")
}

func TestDeafChildIsKilled(t *testing.T) {
	c, out, pids := shell(t, "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
	c.start()
	testkit.Eventually(t, 10*time.Second, func() bool { return c.log.lastLine() == "deaf" }, "the child runs")
	began := time.Now()
	c.stop(300 * time.Millisecond)
	if took := time.Since(began); took < 300*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := syscall.Kill(pids()[0], 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("it still runs: %v", err)
	}
	if !strings.Contains(out.String(), "is killed") {
		t.Errorf("printed %q", out.String())
	}
}

func TestStopBetweenTwoStarts(t *testing.T) {
	c, _, pids := shell(t, "exit 0")
	c.start()
	testkit.Eventually(t, 10*time.Second, func() bool { return len(pids()) == 1 }, "the child was started")
	began := time.Now()
	c.stop(5 * time.Second)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestUnreadyChildIsNamedWithItsLog(t *testing.T) {
	c, _, _ := shell(t, "exec sleep 1000")
	c.program.ready = func(context.Context) error { return errors.New("it waits for kafka") }
	c.start()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.awaitReady(ctx); err == nil || !strings.Contains(err.Error(), "it waits for kafka") || !strings.Contains(err.Error(), c.log.path) {
		t.Errorf("got %v", err)
	}
	c.stop(time.Second)
}

func TestConfigOverStandardInput(t *testing.T) {
	c, _, _ := shell(t, `read line; echo "$line" >&2; cat; echo ended >&2`)
	c.program.stdin = map[string]string{"dir": "/d"}
	c.start()
	testkit.Eventually(t, 10*time.Second, func() bool { return c.log.lastLine() == `{"dir":"/d"}` }, "the child has its configuration")
	c.stop(time.Second)
}

func TestChildLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "child.log")
	log, err := openChildLog(path, "child", nil)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1<<20) + "\n"
	for range 3 * maxLogBytes / maxLineBytes {
		if _, err := fmt.Fprint(log, line); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprint(log, "first half, ")
	fmt.Fprint(log, "second half\nno line break")
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > maxLogBytes || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, %v, %v", file, info.Size(), info.Mode(), err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(string(text), "first half, second half\nno line break\n") {
		t.Errorf("%v; the end is %q", err, text[max(0, len(text)-60):])
	}
}

func TestFreeAddresses(t *testing.T) {
	addresses, err := freeAddresses(t.Context(), 5)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, address := range addresses {
		if seen[address] || !canListen(t.Context(), address) {
			t.Errorf("%s: seen %v", address, seen[address])
		}
		seen[address] = true
	}
}
