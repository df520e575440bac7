package up

import (
	"os/exec"
	"runtime"
	"syscall"
)

// spawner starts processes that die with this one. The kernel sends the death signal when the *thread* that
// forked ends, not the process, so all children are started by one thread that lives until there are none.
type spawner struct {
	requests chan spawn
	stopped  chan struct{}
}

type spawn struct {
	cmd  *exec.Cmd
	done chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawn), stopped: make(chan struct{})}
	go s.run() // ends by close
	return s
}

func (s *spawner) run() {
	defer close(s.stopped)
	// Never unlocked: the thread ends with this goroutine.
	runtime.LockOSThread()
	for request := range s.requests {
		request.done <- request.cmd.Start()
	}
}

// start starts cmd in a process group of its own, so that Ctrl-C in the terminal reaches us only and children
// end in order. If this process dies, they are killed at once: each of them can take that at any moment.
func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	request := spawn{cmd, make(chan error, 1)}
	s.requests <- request
	return <-request.done
}

// close ends the thread. Children that still run are killed by the kernel.
func (s *spawner) close() {
	close(s.requests)
	<-s.stopped
}
