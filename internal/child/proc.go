package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Proc is a child as its parent sees it. Start may be called again once the child has ended.
type Proc struct {
	// Command makes the command to run, with Stdin and Stdout free.
	Command func() (*exec.Cmd, error)
	// StopTimeout is how long Stop waits before it kills.
	StopTimeout time.Duration

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{} // closed when the process has been awaited
}

// Start runs the child with cfg and returns when it serves. If it does not come that far it is
// killed, and the error is ErrNotReady or says what failed.
func (p *Proc) Start(cfg any) (Ready, error) {
	cmd, err := p.Command()
	if err != nil {
		return Ready{}, err
	}
	inR, inW, err := os.Pipe()
	if err != nil {
		return Ready{}, fmt.Errorf("start a child: %w", err)
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return Ready{}, fmt.Errorf("start a child: %w", err)
	}
	defer outR.Close()
	cmd.Stdin, cmd.Stdout = inR, outW
	err = cmd.Start()
	outW.Close()
	if err != nil {
		inW.Close()
		return Ready{}, fmt.Errorf("start a child: %w", err)
	}
	done := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait() // how it ended is asked of cmd.ProcessState
		close(done)
	}()
	p.mu.Lock()
	p.cmd, p.stdin, p.done = cmd, inW, done
	p.mu.Unlock()
	err = WriteConfig(inW, cfg)
	var ready Ready
	if err == nil {
		ready, err = Await(outR)
	} else {
		err = errors.Join(ErrNotReady, err)
	}
	if err != nil {
		p.Kill()
		return Ready{}, err
	}
	return ready, nil
}

func (p *Proc) current() (*exec.Cmd, io.Closer, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.stdin, p.done
}

// Pid is the process id of the child that was started last.
func (p *Proc) Pid() int {
	cmd, _, _ := p.current()
	return cmd.Process.Pid
}

// Done is closed when that child has ended.
func (p *Proc) Done() <-chan struct{} {
	_, _, done := p.current()
	return done
}

// Signal sends it a signal.
func (p *Proc) Signal(sig syscall.Signal) error {
	cmd, _, _ := p.current()
	return cmd.Process.Signal(sig)
}

// Kill is kill -9. It returns when the process is gone.
func (p *Proc) Kill() {
	cmd, stdin, done := p.current()
	_ = cmd.Process.Kill() // it may have ended by itself
	<-done
	_ = stdin.Close() // a second time does no harm
}

// Stop ends the child cleanly by closing its standard input. A child that has ended already is no
// error, one that has to be killed or that fails on the way is.
func (p *Proc) Stop() error {
	cmd, stdin, done := p.current()
	select {
	case <-done:
		_ = stdin.Close()
		return nil
	default:
	}
	_ = stdin.Close()
	select {
	case <-done:
	case <-time.After(p.StopTimeout):
		p.Kill()
		return fmt.Errorf("it did not end within %s and was killed", p.StopTimeout)
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("it ended with %s", cmd.ProcessState)
	}
	return nil
}
