package testkit

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a command under test. Its output goes to the test's log when the test fails, and is there to be searched.
type Process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  lockedBuffer
	done chan struct{} // closed once it has been awaited
	err  error         // of Wait; valid once done is closed
}

// Start starts a command; whatever is left of it is killed when the test ends. cmd must have neither Stdout nor Stderr.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd.Path, err)
	}
	go func() { // ends with the process
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill9()
		if t.Failed() {
			out := p.Output()
			t.Logf("end of the output of %s:\n%s", cmd.Path, out[max(0, len(out)-8000):])
		}
	})
	return p
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Output is what the process wrote so far.
func (p *Process) Output() string { return p.out.String() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill9 kills the process and waits until it is gone.
func (p *Process) Kill9() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.done
}

// Terminate asks the process to end (SIGTERM) and returns how it did, or fails the test if it takes longer.
func (p *Process) Terminate(within time.Duration) error {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.Wait(within)
}

// Wait returns how the process ended, or fails the test if it takes longer.
func (p *Process) Wait(within time.Duration) error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(within):
		p.t.Fatalf("%s is still running after %v", p.cmd.Path, within)
		return nil
	}
}

func (p *Process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("send %v to %s: %v", sig, p.cmd.Path, err)
	}
}

// lockedBuffer is written by the copying goroutine of exec and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
