// Package dirlock gives a directory to one process at a time.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// fileName is locked by flock and holds the owner's process id for people to read; the lock is the
// kernel's and ends with the process, whatever the file says.
const fileName = "LOCK"

// Held reports a directory that another process owns.
type Held struct {
	Dir string
	PID string // as the owner wrote it; may be empty
}

func (h *Held) Error() string {
	owner := "another process"
	if h.PID != "" {
		owner = "process " + h.PID
	}
	return fmt.Sprintf("%s is in use by %s: stop it, or give this one a directory of its own", h.Dir, owner)
}

// Lock is an owned directory.
type Lock struct{ file *os.File }

// Take creates dir if need be and locks it. It does not wait: a directory in use is *Held.
func Take(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &Held{Dir: dir, PID: readPID(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := writePID(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &Lock{file: f}, nil
}

// Release gives the directory up. The file stays: removing it would let two owners lock two files.
func (l *Lock) Release() error { return l.file.Close() }

func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

func readPID(f *os.File) string {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0) // io.EOF after a short file is the normal case; it is advice only
	return strings.TrimSpace(string(b[:n]))
}
