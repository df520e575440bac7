package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// stopWithin is what a server may take to stop before it is killed.
const stopWithin = 20 * time.Second

// server is a process that runs until it is stopped.
type server struct {
	name    string
	cmd     *exec.Cmd
	logPath string
	done    chan struct{} // closed when it has been awaited
	result  error         // of Wait; valid once done is closed
}

// launch starts a command whose output goes to a file. uid is the user to run as, -1 for this process's own.
func launch(name string, cmd *exec.Cmd, logPath string, uid, gid int) (*server, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes(uid, gid)
	s := &server{name: name, cmd: cmd, logPath: logPath, done: make(chan struct{})}
	started := make(chan error)
	go func() { // ends with the process
		// The kernel kills the process when the thread that started it ends (Pdeathsig), so that thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			s.result = cmd.Wait()
		}
		close(s.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return s, nil
}

// ready polls until check succeeds. A server that ends before is an error with the end of its log.
func (s *server) ready(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			return fmt.Errorf("%s ended (%w):\n%s", s.name, s.result, tail(s.logPath))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready within %v (%w):\n%s", s.name, within, err, tail(s.logPath))
		}
	}
}

// stop asks the server to end, and kills it if it does not.
func (s *server) stop(sig syscall.Signal) error {
	select {
	case <-s.done:
		return fmt.Errorf("%s had ended before: %w:\n%s", s.name, s.result, tail(s.logPath))
	default:
	}
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(stopWithin):
		s.kill()
		return fmt.Errorf("%s did not stop within %v and was killed", s.name, stopWithin)
	}
}

// kill is kill -9.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
}

// tail returns the end of a log file.
func tail(path string) string {
	const most = 4000
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

// freePorts returns loopback ports that nobody uses now.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // not before all are found, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// canConnect is the simplest check of ready.
func canConnect(addr string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// CacheDir is where things fetched for tests stay: AGENTAUDIT_CACHE, else a folder in the user's cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("AGENTAUDIT_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to cache in (set AGENTAUDIT_CACHE): %w", err)
	}
	return filepath.Join(dir, "agentaudit"), nil
}
