package vault

import (
	"context"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Checkpoint is the state of a log that was vouched for last.
type Checkpoint struct {
	Log  string
	Size uint64     // entries
	Head chain.Hash // leaf hash of the last entry
	At   time.Time  // microseconds, UTC
}

// Checkpoint returns the latest checkpoint of a log, and false if there is none.
func (v *Vault) Checkpoint(ctx context.Context, log string) (Checkpoint, bool, error) {
	return Checkpoint{}, false, nil
}

// CompareAndSwapCheckpoint stores next if the log's latest checkpoint has oldSize entries (0: there is none). next must be larger.
func (v *Vault) CompareAndSwapCheckpoint(ctx context.Context, log string, oldSize uint64, next Checkpoint) (swapped bool, err error) {
	return false, nil
}

// Checkpoints returns the latest checkpoint of every log, by name.
func (v *Vault) Checkpoints(ctx context.Context) ([]Checkpoint, error) { return nil, nil }
