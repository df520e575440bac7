package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// maxSecretFileBytes is far above any keyring.
const maxSecretFileBytes = 1 << 20

// readSecretFile reads a file that only its owner may access.
func readSecretFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := durable.Private(path, info.Mode()); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(file, maxSecretFileBytes))
}

// lockFile waits until this process alone holds the lock file. The kernel ends the lock with the process. The file stays: removing it would let two
// processes lock two files of one name.
func lockFile(ctx context.Context, path string) (unlock func() error, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("lock %s, held by another process: %w", path, ctx.Err()), file.Close())
		case <-retry.C:
		}
	}
}
