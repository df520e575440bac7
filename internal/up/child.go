package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	handover "github.com/agentaudit/agentaudit/internal/child"
	"github.com/agentaudit/agentaudit/internal/process"
)

// Pauses before a child that ended is started again. They double, and begin anew after steadyTime of running.
const (
	restartMin = 200 * time.Millisecond
	restartMax = 2 * time.Second
	steadyTime = 30 * time.Second
)

// maxFirstTries is how often a child may end with an error before it was ever ready.
const maxFirstTries = 3

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
	launched bool      // at least once
	wasReady bool
}

// start begins to supervise.
func (c *child) start() {
	go c.supervise() // ends after stop, or when the child is hopeless; ended is closed then
}

func (c *child) supervise() {
	defer close(c.ended)
	pause := restartMin
	for try := 1; ; try++ {
		began := time.Now()
		cmd, release, err := c.launch()
		if err != nil {
			c.end = err
			return
		}
		if cmd == nil {
			return // stopped meanwhile
		}
		err = cmd.Wait()
		release()
		stopping, wasReady := c.forget()
		if stopping {
			return
		}
		code := cmd.ProcessState.ExitCode()
		if code == process.ExitFailed || (code > 0 && !wasReady && try == maxFirstTries) {
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

// launch starts the process, unless stop was called; then it returns nil. release is to be called when the process
// has ended.
func (c *child) launch() (cmd *exec.Cmd, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, nil, nil
	}
	args := c.program.args
	if !c.launched {
		args = slices.Concat(args, c.program.first)
	}
	cmd = exec.Command(c.program.path, args...) //nolint:noctx // it ends by stop, in order, not with a context
	cmd.Env = c.env
	cmd.Stdout, cmd.Stderr = c.log, c.log
	// A grandchild that kept the pipe open must not keep us waiting.
	cmd.WaitDelay = time.Second
	release = func() {}
	if c.program.stdin != nil {
		if release, err = c.attachConfig(cmd); err != nil {
			return nil, nil, fmt.Errorf("start %s: %w", c.program.name, err)
		}
	}
	if err := c.spawner.start(cmd); err != nil {
		release()
		return nil, nil, fmt.Errorf("start %s: %w", c.program.name, err)
	}
	c.cmd, c.launched = cmd, true
	c.onStart(c.program.name, cmd.Process.Pid)
	return cmd, release, nil
}

// attachConfig makes the configuration an engine's standard input, which stays open until release: its end is
// the engine's end.
func (c *child) attachConfig(cmd *exec.Cmd) (release func(), err error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	release = func() {
		_ = theirs.Close() // nothing is lost in a pipe that nobody reads
		_ = ours.Close()
	}
	// The pipe takes a configuration at once: it is smaller than the kernel's buffer.
	if err := handover.WriteConfig(ours, c.program.stdin); err != nil {
		release()
		return nil, err
	}
	cmd.Stdin = theirs
	cmd.Stdout = nil // says that it is ready, for parents that do not ask
	return release, nil
}

// forget notes that the process has ended, and says whether it was meant to and whether it had ever been ready.
func (c *child) forget() (stopping, wasReady bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cmd = nil
	return c.stopping, c.wasReady
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
			c.mu.Lock()
			c.wasReady = true
			c.mu.Unlock()
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
