// Package brokertest starts the embedded broker for tests, as a process of its own. Importing it is
// all that a test package does: see package childtest.
package brokertest

import (
	"path/filepath"
	"testing"

	"github.com/agentaudit/agentaudit/internal/broker"
	"github.com/agentaudit/agentaudit/internal/child/childtest"
)

func init() { childtest.Register("broker", broker.Child) }

// Options may be left empty.
type Options struct {
	Dir    string // default: a temporary one
	Topics []broker.Topic
}

// Proc is a running broker; see childtest.Proc for Address, Kill, Restart, Stop, Signal, Pid and
// Log.
type Proc struct {
	*childtest.Proc
	Dir string
}

// Start starts a broker and stops it at the end of the test.
func Start(t testing.TB, opts Options) *Proc {
	t.Helper()
	p, err := Launch(opts, t.TempDir())
	if err != nil {
		t.Fatalf("start the embedded broker: %v", err)
	}
	p.StopWith(t)
	return p
}

// Launch is Start for a TestMain: the caller stops it. scratch is a directory of the caller's that
// outlives it.
func Launch(opts Options, scratch string) (*Proc, error) {
	if opts.Dir == "" {
		opts.Dir = filepath.Join(scratch, "broker")
	}
	proc, err := childtest.Launch("broker", scratch, func(listen string) any {
		return broker.Config{Dir: opts.Dir, Listen: listen, Topics: opts.Topics}
	})
	if err != nil {
		return nil, err
	}
	return &Proc{Proc: proc, Dir: opts.Dir}, nil
}
