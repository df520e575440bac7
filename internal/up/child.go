package up

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// program is one of the programs that up runs.
type program struct {
	name  string // as in endpoints.json
	path  string
	args  []string
	ready func(ctx context.Context) error // nil as soon as it does its work
}

// Pauses before a child that ended is started again. They double, and begin anew after steadyTime of running.
const (
	restartMin = 200 * time.Millisecond
	restartMax = 10 * time.Second
	steadyTime = 30 * time.Second
)

// readyEvery is how often a starting child is asked whether it is ready.
const readyEvery = 50 * time.Millisecond

// errHopeless is the end of a child that said it cannot work and will not by being started again.
var errHopeless = errors.New("cannot work")

// child is a supervised program. start, awaitReady and stop are called by one goroutine, start first.
type child struct {
	program program
	env     []string
	spawner *spawner
	log     *childLog
	console *console
	onStart func(name string, pid int) // called at each start; must not block

	ended chan struct{} // closed when the child will not be started again
	end   error         // why; nil if stop asked for it. Valid once ended is closed.
	wake  chan struct{} // closed by stop

	mu       sync.Mutex
	cmd      *exec.Cmd // the running process; nil between two
	stopping bool      // no further start
}

// start begins to supervise.
func (c *child) start() {
	go c.supervise() // ends after stop, or when the child is hopeless; ended is closed then
}

func (c *child) supervise() {
	defer close(c.ended)
	pause := restartMin
	for {
		began := time.Now()
		cmd, err := c.launch()
		if err != nil {
			c.end = err
			return
		}
		if cmd == nil {
			return // stopped meanwhile
		}
		err = cmd.Wait()
		if c.forget() {
			return
		}
		if cmd.ProcessState.ExitCode() == 2 {
			c.end = fmt.Errorf("%s %w: %s", c.program.name, errHopeless, c.log.lastLine())
			return
		}
		if time.Since(began) > steadyTime {
			pause = restartMin
		}
		c.console.printf("%s ended (%s), starting it again; last line: %s", c.program.name, reason(err), c.log.lastLine())
		select {
		case <-time.After(pause):
		case <-c.wake:
			return
		}
		pause = min(2*pause, restartMax)
	}
}

// launch starts the process, unless stop was called; then it returns nil.
func (c *child) launch() (*exec.Cmd, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, nil
	}
	cmd := exec.Command(c.program.path, c.program.args...) //nolint:noctx // ends by stop, in order, not with a context
	cmd.Env = c.env
	cmd.Stdout, cmd.Stderr = c.log, c.log
	// A grandchild that kept the pipe open must not keep us waiting.
	cmd.WaitDelay = time.Second
	if err := c.spawner.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.program.name, err)
	}
	c.cmd = cmd
	c.onStart(c.program.name, cmd.Process.Pid)
	return cmd, nil
}

// forget notes that the process has ended and says whether it was meant to.
func (c *child) forget() (stopping bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd = nil
	return c.stopping
}

func reason(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}

// awaitReady returns when the child is ready for the first time.
func (c *child) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	var last error
	for {
		if last = c.program.ready(ctx); last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return c.end
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; its log is %s", c.program.name, last, c.log.path)
		}
	}
}

// stop ends the child for good: politely, and after grace by force. It returns when it is gone.
func (c *child) stop(grace time.Duration) {
	c.mu.Lock()
	c.stopping = true
	close(c.wake)
	c.signal(syscall.SIGTERM)
	c.mu.Unlock()

	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.ended:
		return
	case <-timer.C:
	}
	c.console.printf("%s did not end within %s and is killed", c.program.name, grace)
	c.mu.Lock()
	c.signal(syscall.SIGKILL)
	c.mu.Unlock()
	<-c.ended
}

// signal sends a signal to the running process, if there is one. The caller holds mu, so the process has not been
// forgotten; Signal itself knows when it was waited for.
func (c *child) signal(s syscall.Signal) {
	if c.cmd != nil {
		_ = c.cmd.Process.Signal(s) // an error means that it has just ended
	}
}
