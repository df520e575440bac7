// Package enginetest starts the embedded engine for tests, as a process of its own. Importing it is
// all that a test package does: see package childtest.
package enginetest

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/agentaudit/agentaudit/internal/child/childtest"
	"github.com/agentaudit/agentaudit/internal/engine"
)

func init() { childtest.Register("engine", engine.Child) }

// Options may be left empty.
type Options struct {
	Dir            string // default: a temporary one
	MaxMemoryBytes int64  // default: 1 GiB
	Library        string // default: the fetched one
}

// Proc is a running engine; see childtest.Proc for Kill, Restart, Stop, Signal, Pid and Log.
type Proc struct {
	*childtest.Proc
	URL      string // http://127.0.0.1:port; stays over restarts
	User     string
	Password string
	Dir      string
}

// Start starts an engine and stops it at the end of the test.
func Start(t testing.TB, opts Options) *Proc {
	t.Helper()
	p, err := Launch(opts, t.TempDir())
	if err != nil {
		t.Fatalf("start the embedded engine: %v", err)
	}
	p.StopWith(t)
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
	p := &Proc{User: "audit", Password: "test-" + strconv.Itoa(os.Getpid()), Dir: opts.Dir}
	passwordFile := filepath.Join(scratch, "engine-password")
	if err := os.WriteFile(passwordFile, []byte(p.Password+"\n"), 0o600); err != nil {
		return nil, err
	}
	proc, err := childtest.Launch("engine", scratch, func(listen string) any {
		return engine.Config{Library: opts.Library, Dir: opts.Dir, Listen: listen, User: p.User,
			PasswordFile: passwordFile, MaxMemoryBytes: opts.MaxMemoryBytes}
	})
	if err != nil {
		return nil, err
	}
	p.Proc, p.URL = proc, "http://"+proc.Address
	return p, nil
}
