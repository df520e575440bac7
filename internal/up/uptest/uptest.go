// Package uptest runs `agentaudit up` for tests: the programs as they are built for
// users, with real engines, in a folder of the test's own.
package uptest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine"
	"github.com/agentaudit/agentaudit/internal/testkit"
	"github.com/agentaudit/agentaudit/internal/up"
)

// readyTimeout is for a machine that runs other tests as well.
const readyTimeout = 2 * time.Minute

// Binaries builds the programs, once in a test process, and returns their folder.
func Binaries(t testing.TB) string {
	t.Helper()
	if _, err := engine.LibraryPath(""); err != nil {
		testkit.Missing(t, err.Error())
	}
	bin, err := build(testkit.Root(t))
	if err != nil {
		t.Fatalf("build the programs: %v", err)
	}
	return bin
}

var build = func() func(root string) (string, error) {
	var once sync.Once
	var bin string
	var err error
	return func(root string) (string, error) {
		once.Do(func() { bin, err = runMake(root) })
		return bin, err
	}
}()

// runMake builds into bin/. Test processes of several packages take turns.
func runMake(root string) (string, error) {
	bin := filepath.Join(root, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(bin, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	cmd := exec.Command("make", "-s", "build")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make build: %w\n%s", err, out)
	}
	return bin, nil
}

// Up is a running `agentaudit up`. Its methods are for one goroutine at a time.
type Up struct {
	Dir string
	bin string
	env []string
	cmd *exec.Cmd
	out *output

	ended   chan struct{}
	waitErr error // valid once ended is closed
}

// Start runs `agentaudit up` in dir (empty: a folder of its own) and returns when it is ready. It is stopped at the
// end of the test at the latest.
func Start(t testing.TB, dir string, args ...string) *Up {
	t.Helper()
	u := Launch(t, dir, args...)
	u.AwaitReady(t)
	return u
}

// Launch is Start without waiting.
func Launch(t testing.TB, dir string, args ...string) *Up {
	t.Helper()
	if dir == "" {
		dir = filepath.Join(t.TempDir(), "up")
	}
	u := &Up{Dir: dir, bin: Binaries(t), out: &output{}, ended: make(chan struct{}), env: environ()}
	u.cmd = exec.Command(filepath.Join(u.bin, "agentaudit"), append([]string{"up", "--data", dir}, args...)...)
	u.cmd.Env = u.env
	u.cmd.Stdout, u.cmd.Stderr = u.out, u.out
	if err := u.cmd.Start(); err != nil {
		t.Fatalf("start agentaudit up: %v", err)
	}
	go func() { // ends with the process
		u.waitErr = u.cmd.Wait()
		close(u.ended)
	}()
	t.Cleanup(func() {
		u.Kill()
		if t.Failed() {
			t.Logf("agentaudit up printed:\n%s", u.Output())
		}
	})
	return u
}

// environ is ours without what would configure the programs.
func environ() []string {
	var kept []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "AGENTAUDIT_") || strings.HasPrefix(pair, "AGENTAUDIT_CACHE=") {
			kept = append(kept, pair)
		}
	}
	return kept
}

// Pid is the process id of `up` itself.
func (u *Up) Pid() int { return u.cmd.Process.Pid }

// Output is what it has printed so far.
func (u *Up) Output() string { return u.out.String() }

// AwaitReady returns when endpoints.json is there.
func (u *Up) AwaitReady(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, readyTimeout, func() bool {
		select {
		case <-u.ended:
			t.Fatalf("agentaudit up ended while it was starting: %v\n%s", u.waitErr, u.Output())
		default:
		}
		_, err := u.read()
		return err == nil
	}, "agentaudit up is ready")
}

// Endpoints reads endpoints.json.
func (u *Up) Endpoints(t testing.TB) up.Endpoints {
	t.Helper()
	endpoints, err := u.read()
	if err != nil {
		t.Fatal(err)
	}
	return endpoints
}

func (u *Up) read() (e up.Endpoints, err error) {
	text, err := os.ReadFile(filepath.Join(u.Dir, "endpoints.json"))
	if err != nil {
		return e, err
	}
	return e, json.Unmarshal(text, &e)
}

// AwaitRestart returns when a child that had the given process id has been started again.
func (u *Up) AwaitRestart(t testing.TB, child string, was int) {
	t.Helper()
	testkit.Eventually(t, readyTimeout, func() bool {
		e, err := u.read()
		return err == nil && e.Pids[child] != was
	}, child+" is started again")
}

// Stop ends it with SIGTERM and returns how long that took. Any exit code but 0 fails the test.
func (u *Up) Stop(t testing.TB) time.Duration {
	t.Helper()
	began := time.Now()
	if err := u.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-u.ended:
	case <-time.After(readyTimeout):
		t.Fatalf("agentaudit up did not end\n%s", u.Output())
	}
	if u.waitErr != nil {
		t.Errorf("agentaudit up: %v", u.waitErr)
	}
	return time.Since(began)
}

// Kill ends it, if it runs, with SIGKILL. It returns when it is gone.
func (u *Up) Kill() {
	_ = u.cmd.Process.Kill() // it may have ended
	<-u.ended
}

// Result is what a command printed.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a command with --data, and input on its standard input.
func (u *Up) Run(t testing.TB, input string, args ...string) Result {
	t.Helper()
	return RunIn(t, u.bin, input, append(args, "--data", u.Dir)...)
}

// Good is Run for a command that must succeed; it returns what it printed, without the last line break.
func (u *Up) Good(t testing.TB, input string, args ...string) string {
	t.Helper()
	r := u.Run(t, input, args...)
	if r.Code != 0 {
		t.Fatalf("agentaudit %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSuffix(r.Stdout, "\n")
}

// RunIn runs agentaudit from bin.
func RunIn(t testing.TB, bin, input string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "agentaudit"), args...)
	cmd.Env = environ()
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("agentaudit %s: %v", strings.Join(args, " "), err)
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// output collects what is printed. Safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
