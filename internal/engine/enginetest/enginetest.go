// Package enginetest starts the embedded engine for tests.
//
// Importing it is all that a test package does: the engine runs in a second process of the same
// test binary, which this package takes over before any test of it begins.
package enginetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agentaudit/agentaudit/internal/child"
	"github.com/agentaudit/agentaudit/internal/engine"
)

// childVariable tells a test binary that it is to be the engine.
const childVariable = "AGENTAUDIT_ENGINETEST_CHILD"

// init has an effect on purpose: it is what spares every test package a TestMain. Without the
// variable it does nothing.
func init() {
	if os.Getenv(childVariable) == "" {
		return
	}
	if err := engine.Child(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Options may be left empty.
type Options struct {
	Dir            string // default: a temporary one
	MaxMemoryBytes int64  // default: 1 GiB
	Library        string // default: the fetched one
}

// Proc is an engine. Its methods are for one goroutine at a time, except Kill.
type Proc struct {
	URL      string // http://127.0.0.1:port; stays over restarts
	Address  string // 127.0.0.1:port
	User     string
	Password string
	Dir      string

	opts         Options
	passwordFile string
	mu           sync.Mutex
	cmd          *exec.Cmd
	stdin        *os.File
	done         chan struct{} // closed when the process has been awaited
	logFile      string
}

// Start starts an engine and stops it at the end of the test.
func Start(t testing.TB, opts Options) *Proc {
	t.Helper()
	p, err := Launch(opts, t.TempDir())
	if err != nil {
		t.Fatalf("start the embedded engine: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("stop the embedded engine: %v", err)
		}
		if t.Failed() {
			if b, err := os.ReadFile(p.logFile); err == nil {
				t.Logf("log of the embedded engine:\n%s", tail(b, 4000))
			}
		}
	})
	return p
}

// Launch is Start for a TestMain: the caller stops it. scratch is a directory of the caller's that
// outlives it.
func Launch(opts Options, scratch string) (*Proc, error) {
	if opts.Dir == "" {
		opts.Dir = filepath.Join(scratch, "engine")
	}
	if opts.MaxMemoryBytes == 0 {
		opts.MaxMemoryBytes = 1 << 30
	}
	p := &Proc{User: "audit", Password: "test-" + strconv.Itoa(os.Getpid()), Dir: opts.Dir, opts: opts,
		passwordFile: filepath.Join(scratch, "engine-password"), logFile: filepath.Join(scratch, "engine.log"), Address: "127.0.0.1:0"}
	if err := os.WriteFile(p.passwordFile, []byte(p.Password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Proc) start() error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	logFile, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd.Stderr = logFile
	inR, inW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return err
	}
	defer outR.Close()
	cmd.Stdin, cmd.Stdout = inR, outW
	if err := cmd.Start(); err != nil {
		inW.Close()
		outW.Close()
		return err
	}
	outW.Close()
	done := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait() // how it ended is asked of cmd.ProcessState
		close(done)
	}()
	p.mu.Lock()
	p.cmd, p.stdin, p.done = cmd, inW, done
	p.mu.Unlock()
	err = child.WriteConfig(inW, engine.Config{Library: p.opts.Library, Dir: p.opts.Dir, Listen: p.Address, User: p.User,
		PasswordFile: p.passwordFile, MaxMemoryBytes: p.opts.MaxMemoryBytes})
	var ready child.Ready
	if err == nil {
		ready, err = child.Await(outR)
	}
	if err != nil {
		p.Kill()
		log, _ := os.ReadFile(p.logFile) // for the message only
		return fmt.Errorf("%w\n%s", err, tail(log, 2000))
	}
	p.Address, p.URL = ready.Address, "http://"+ready.Address
	return nil
}

// Pid is the process id of the engine.
func (p *Proc) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Signal sends a signal, SIGSTOP say.
func (p *Proc) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Signal(sig)
}

// Kill is kill -9. It returns when the process is gone.
func (p *Proc) Kill() {
	p.mu.Lock()
	cmd, stdin, done := p.cmd, p.stdin, p.done
	p.mu.Unlock()
	_ = cmd.Process.Kill() // it may have ended by itself
	<-done
	stdin.Close()
}

// Restart starts the engine again, on the same directory and address, after Kill, Stop or a crash.
func (p *Proc) Restart() error { return p.start() }

// stopTimeout is beyond the engine's own grace for statements.
const stopTimeout = 30 * time.Second

// Stop ends the engine cleanly; one that has ended already is left alone.
func (p *Proc) Stop() error {
	p.mu.Lock()
	cmd, stdin, done := p.cmd, p.stdin, p.done
	p.mu.Unlock()
	select {
	case <-done:
		return nil
	default:
	}
	stdin.Close()
	select {
	case <-done:
	case <-time.After(stopTimeout):
		p.Kill()
		return fmt.Errorf("it did not end within %s", stopTimeout)
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("it ended with %s", cmd.ProcessState)
	}
	return nil
}

// Log is what the engine wrote to standard error so far.
func (p *Proc) Log() string {
	b, _ := os.ReadFile(p.logFile) // none yet is an empty log
	return string(b)
}

func tail(b []byte, n int) []byte {
	if len(b) > n {
		return b[len(b)-n:]
	}
	return b
}
