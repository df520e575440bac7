package events

import (
	"errors"
	"fmt"
	"os"
)

// sync makes what was appended before the call survive a power loss. After it
// failed for a segment it fails until that segment is drained: the kernel may
// have dropped what it could not write, and a second fsync would not tell.
func (s *spool) sync() error {
	s.syncing.Lock()
	defer s.syncing.Unlock()

	s.mu.Lock()
	var dirty []*segment
	for _, seg := range s.segments {
		if seg.dirty && !seg.failed {
			seg.dirty, seg.inSync = false, true
			dirty = append(dirty, seg)
		}
	}
	dirDirty := s.dirDirty
	s.dirDirty = false
	s.mu.Unlock()

	// Without the lock: events are accepted meanwhile. inSync keeps the files
	// open.
	errs := make([]error, len(dirty))
	for i, seg := range dirty {
		errs[i] = seg.file.Sync()
	}
	var dirErr error
	if dirDirty {
		dirErr = syncDir(s.dir)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for i, seg := range dirty {
		seg.inSync = false
		if errs[i] != nil {
			seg.failed, seg.cipher = true, nil
			s.log.Error("fsync of a spool segment failed", "segment", seg.path, "error", errs[i])
		}
		seg.closeIfDone()
	}
	if dirErr != nil {
		s.dirDirty = true
		return dirErr
	}
	for _, seg := range s.segments {
		if seg.failed {
			return fmt.Errorf("fsync of %s failed: its events are safe once Kafka has them", seg.path)
		}
	}
	return nil
}

// syncDir makes new names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the spool to sync it: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync the spool: %w", err)
	}
	return nil
}

// close syncs, and gives the directory back. The goroutine that reads has
// ended.
func (s *spool) close() error {
	syncErr := s.sync()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.reader.close()
	for _, seg := range s.segments {
		seg.cipher, seg.dirty = nil, false
		seg.closeIfDone()
	}
	return errors.Join(syncErr, s.position.Close(), s.lock.Close())
}

// pending returns the records that wait and the bytes of all segments.
func (s *spool) pending() (records, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records, s.bytes
}

// lossesSoFar returns what was lost on disk.
func (s *spool) lossesSoFar() spoolLosses {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.losses
}
