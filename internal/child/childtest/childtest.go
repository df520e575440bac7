// Package childtest runs a child in a second process of the test binary itself. Packages that
// offer one to tests (enginetest, brokertest) hook their child in with Register, from an init
// function: so the packages that use them need no TestMain.
package childtest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/child"
)

// variable names the child that a test binary is to be.
const variable = "AGENTAUDIT_TEST_CHILD"

// Register turns this process into the child if its parent asked for it, and then does not return.
func Register(name string, run func(ctx context.Context, stdin io.Reader, stdout io.Writer) error) {
	if os.Getenv(variable) != name {
		return
	}
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// stopTimeout is beyond the children's own grace.
const stopTimeout = 30 * time.Second

// Proc is a child under test. Its methods are for one goroutine at a time, except Kill and Signal.
type Proc struct {
	Address string // host:port; stays over restarts

	name    string
	proc    child.Proc
	logPath string
	config  func(listen string) any
}

// Launch starts the child that was registered under name. config makes its configuration for an
// address to listen on. The log goes to a file in scratch.
func Launch(name, scratch string, config func(listen string) any) (*Proc, error) {
	p := &Proc{Address: "127.0.0.1:0", name: name, logPath: filepath.Join(scratch, name+".log"), config: config}
	p.proc = child.Proc{Command: p.command, StopTimeout: stopTimeout}
	if err := p.Restart(); err != nil {
		return nil, err
	}
	return p, nil
}

// command runs this very binary again.
func (p *Proc) command() (*exec.Cmd, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), variable+"="+p.name)
	cmd.Stderr = log // closed when it is collected; the child has its own handle
	return cmd, nil
}

// Restart starts the child again, on the same address, after Kill, Stop or a crash.
func (p *Proc) Restart() error {
	ready, err := p.proc.Start(p.config(p.Address))
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(p.Log(), 2000))
	}
	p.Address = ready.Address
	return nil
}

// StopWith stops the child at the end of a test, and shows its log if the test failed.
func (p *Proc) StopWith(t testing.TB) {
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("stop the %s: %v", p.name, err)
		}
		if t.Failed() {
			t.Logf("log of the %s:\n%s", p.name, tail(p.Log(), 4000))
		}
	})
}

// Pid is the child's process id.
func (p *Proc) Pid() int { return p.proc.Pid() }

// Done is closed when the child has ended.
func (p *Proc) Done() <-chan struct{} { return p.proc.Done() }

// Kill is kill -9; it returns when the process is gone.
func (p *Proc) Kill() { p.proc.Kill() }

// Signal sends a signal, SIGSTOP say.
func (p *Proc) Signal(sig syscall.Signal) error { return p.proc.Signal(sig) }

// Stop ends the child cleanly; one that has ended already is left alone.
func (p *Proc) Stop() error { return p.proc.Stop() }

// Log is what the child wrote to standard error so far.
func (p *Proc) Log() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func tail(s string, n int) string {
	if len(s) > n {
		return s[len(s)-n:]
	}
	return s
}
