package exporter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/agentaudit/agentaudit/internal/durable"
	"github.com/agentaudit/agentaudit/internal/vault"
	"github.com/agentaudit/agentaudit/pkg/chain"
)

const (
	// filesEvery is the least time between two rounds of writing: each file is forced to the disk, where others may be waiting for the same disk.
	filesEvery = time.Second
	// checkpointFile is the name of a log's checkpoint in its folder, as C2SP tlog-tiles has it.
	checkpointFile = "checkpoint"
)

// errFileIsLater: a checkpoint that was written says more than the one that is to be written.
var errFileIsLater = errors.New("the file has a later checkpoint, which is left there: either another exporter writes to this folder, or the vault went back")

// writeFiles keeps the latest checkpoint of each log in CheckpointDir, if there is one, until ctx ends. Checkpoints that come faster replace each other.
func (e *Exporter) writeFiles(ctx context.Context) error {
	if e.cfg.CheckpointDir == "" {
		return nil
	}
	written := map[string]string{} // what the files have, by log
	wait := newBackoff()
	for {
		moved := e.published.moved.after()
		pause := filesEvery
		if err := e.writeCheckpoints(written); err != nil {
			e.failing("checkpoints cannot be written to exporter.checkpoint_dir, trying again", err, "folder", e.cfg.CheckpointDir)
			pause = wait.NextBackOff()
			moved = nil
		} else {
			wait.Reset()
		}
		if sleep(ctx, pause) != nil {
			return nil
		}
		if moved == nil {
			continue
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil
		}
	}
}

// writeCheckpoints writes those that have moved. One that cannot be written does not keep the others from it.
func (e *Exporter) writeCheckpoints(written map[string]string) error {
	var errs []error
	for _, c := range e.published.all() {
		if written[c.Log] == c.Note {
			continue
		}
		if err := writeCheckpoint(e.cfg.CheckpointDir, c); err != nil {
			errs = append(errs, fmt.Errorf("write the checkpoint of %s: %w", c.Log, err))
			continue
		}
		written[c.Log] = c.Note
	}
	return errors.Join(errs...)
}

// writeCheckpoint stores a checkpoint as <dir>/<topic>/<partition>/checkpoint, durably: whoever reads the file finds this one or the one before.
func writeCheckpoint(dir string, c vault.Checkpoint) error {
	if _, _, _, err := chain.ParseLog(c.Log); err != nil {
		return err // it would be the path of something else
	}
	folder := filepath.Join(dir, filepath.FromSlash(c.Log))
	path := filepath.Join(folder, checkpointFile)
	there, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeFolder(folder, dir); err != nil {
			return err
		}
	case err != nil:
		return err
	case string(there) == c.Note:
		return nil
	default:
		if kept, err := chain.ReadCheckpoint(there); err == nil && kept.Log == c.Log && kept.Size > c.Size {
			return errFileIsLater
		}
	}
	return durable.Replace(path, []byte(c.Note))
}

// makeFolder makes a log's folder two levels below dir, and its names durable.
func makeFolder(folder, dir string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return errors.Join(durable.Sync(filepath.Dir(folder)), durable.Sync(dir))
}
