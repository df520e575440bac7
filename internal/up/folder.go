// Package up runs everything on one machine: the Kafka-protocol broker, the
// ClickHouse engine and our three processes, as supervised children on loopback,
// with their data, generated credentials and logs in one folder.
package up

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/agentaudit/agentaudit/internal/process"
)

// Folder is where an `up` keeps everything.
type Folder string

// What is in the folder.
func (f Folder) config() string     { return filepath.Join(string(f), process.ConfigFile) }
func (f Folder) endpoints() string  { return filepath.Join(string(f), "endpoints.json") }
func (f Folder) lock() string       { return filepath.Join(string(f), "up.lock") }
func (f Folder) kafka() string      { return filepath.Join(string(f), "kafka") }
func (f Folder) clickhouse() string { return filepath.Join(string(f), "clickhouse") }
func (f Folder) logs() string       { return filepath.Join(string(f), "logs") }
func (f Folder) secrets() string    { return filepath.Join(string(f), "secrets") }
func (f Folder) password() string   { return filepath.Join(f.secrets(), "clickhouse_password") }
func (f Folder) keyring() string    { return filepath.Join(f.secrets(), "keyring") }

// make makes the folders, for our user only.
func (f Folder) make() error {
	for _, dir := range []string{string(f), f.kafka(), f.clickhouse(), f.logs(), f.secrets()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the folder: %w", err)
		}
		// A folder that was there keeps its mode in MkdirAll.
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("keep others out of the folder: %w", err)
		}
	}
	return nil
}

// lock is held for as long as the process lives.
type lock struct{ file *os.File }

// takeLock makes this process the only one that works on the folder. The operating system releases the lock
// when the process ends, however it ends.
func (f Folder) takeLock() (*lock, error) {
	file, err := os.OpenFile(f.lock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", f.lock(), err), file.Close())
		}
		holder := make([]byte, 20)
		n, _ := file.Read(holder)
		return nil, errors.Join(fmt.Errorf("%s is in use by another 'agentaudit up', pid %s: stop that one first, or use another folder",
			string(f), strings.TrimSpace(string(holder[:n]))), file.Close())
	}
	if err := errors.Join(file.Truncate(0), writePid(file)); err != nil {
		return nil, errors.Join(fmt.Errorf("write our pid into the lock: %w", err), file.Close())
	}
	return &lock{file}, nil
}

func writePid(file *os.File) error {
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func (l *lock) release() error { return l.file.Close() }

// writeFile replaces a file so that a reader sees the old content or the new, also after a power loss.
func writeFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
