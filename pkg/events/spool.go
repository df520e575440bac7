package events

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// On-disk names of a spool directory.
const (
	spoolLockName     = "lock"
	spoolPositionName = "position"
	segmentSuffix     = ".seg"
	damagedSuffix     = ".damaged" // appended to a segment that is set aside
)

// maxSegmentBytes is where a segment is closed and the next begun: disk is given
// back by whole segments, so they are small beside the spool.
const maxSegmentBytes = 16 << 20

// spool keeps events on disk, in order, while Kafka is away.
//
// What append wrote survives the end of the process at once, and a power loss
// after the next sync. A reader takes records from the front with read, and
// gives them up with commit once Kafka has them; the place is noted without
// fsync, so after a crash some records may be read again, none is skipped.
//
// append and sync may be called from any goroutine; read and commit from one.
type spool struct {
	dir          string
	maxBytes     int64
	segmentBytes int64
	keys         [][]byte // the first one writes
	log          *slog.Logger
	lock         *os.File

	reader spoolReader // owned by the goroutine that reads

	syncing sync.Mutex // one sync at a time; taken before mu

	mu       sync.Mutex
	segments []*segment // oldest first; at most the last one is appended to
	position *os.File   // where the reader stands, see spool_position.go
	front    place      // first record that is not committed
	nextID   uint64
	bytes    int64 // sizes of all segments, as the limit counts them
	records  int64 // not committed
	losses   spoolLosses
	dirDirty bool // a segment was made since the directory was synced
	closed   bool
}

// segment is one file. Its fields are guarded by spool.mu.
type segment struct {
	id      uint64
	path    string
	size    int64  // whole frames only: what lies beyond is not read
	records uint64 // those included whose frames turned out damaged

	// inherited is set for a segment of an earlier process: written last at
	// writtenMillis by the file system, with a frame of lastMillis at its end.
	inherited                 bool
	writtenMillis, lastMillis int64
	damaged                   bool // moved aside in place of being removed

	file   *os.File     // set as long as there is something to write or sync
	cipher *frameCipher // set as long as the segment may be appended to
	dirty  bool         // written to since the last fsync began
	inSync bool         // an fsync is running
	failed bool         // an fsync failed: what the kernel kept of it is unknown for ever
}

// closeIfDone closes the file when nobody writes or syncs it any more.
func (seg *segment) closeIfDone() {
	if seg.file != nil && seg.cipher == nil && !seg.dirty && !seg.inSync {
		_ = seg.file.Close() // synced or removed: an error has nothing to say
		seg.file = nil
	}
}

// spoolLosses is what did not survive on disk, since the spool was opened.
type spoolLosses struct {
	cutBytes int64 // torn tails, cut when the spool was opened
	lost     int64 // records that could be read no more
	damaged  int64 // segments found damaged, or not readable at all
}

// place is a record's place in the spool.
type place struct {
	segment uint64 // id
	offset  int64  // of its frame
	index   uint64 // of its frame: the nonce
}

// openSpool takes the directory for this process, cuts a torn tail, sets aside
// what cannot be read and finds where reading stopped. It returns
// ErrSpoolLocked, ErrSpoolKey or an error of the file system.
func openSpool(dir string, maxBytes int64, keys [][]byte, log *slog.Logger) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	lock, err := lockSpool(filepath.Join(dir, spoolLockName))
	if err != nil {
		return nil, err
	}
	s := &spool{
		dir: dir, maxBytes: maxBytes, keys: keys, log: log, lock: lock,
		segmentBytes: min(maxSegmentBytes, max(maxBytes/8, 4096)),
	}
	if err := s.load(); err != nil {
		if s.position != nil {
			_ = s.position.Close()
		}
		_ = lock.Close()
		return nil, err
	}
	return s, nil
}

// append adds all records, or none: ErrSpoolFull if they do not fit, else an
// error of the file system. A full disk is ErrSpoolFull too. It returns the
// place behind them.
func (s *spool) append(records ...spoolRecord) (place, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return place{}, ErrClosed
	}
	var need int64
	for i := range records {
		need += int64(records[i].frameBytes())
	}
	seg := s.active()
	if seg == nil || (seg.records > 0 && seg.size+need > s.segmentBytes) {
		if s.bytes+need+int64(segmentHeader) > s.maxBytes {
			return place{}, ErrSpoolFull
		}
		s.finish(seg)
		var err error
		if seg, err = s.begin(); err != nil {
			return place{}, fullDisk(fmt.Errorf("begin a spool segment: %w", err))
		}
	} else if s.bytes+need > s.maxBytes {
		return place{}, ErrSpoolFull
	}

	buf := make([]byte, 0, need)
	for i := range records {
		buf = seg.cipher.appendFrame(buf, seg.records+uint64(i), &records[i])
	}
	if _, err := seg.file.WriteAt(buf, seg.size); err != nil {
		// Part of it may be there. The segment is cut back and never appended to
		// again, so that no nonce is used twice.
		err = fmt.Errorf("write to the spool: %w", err)
		if cut := seg.file.Truncate(seg.size); cut != nil {
			err = errors.Join(err, fmt.Errorf("cut back the spool: %w", cut))
		}
		s.finish(seg)
		return place{}, fullDisk(err)
	}
	s.bytes += int64(len(buf))
	seg.size += int64(len(buf))
	seg.records += uint64(len(records))
	s.records += int64(len(records))
	seg.dirty = true
	return place{segment: seg.id, offset: seg.size, index: seg.records}, nil
}

func fullDisk(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrSpoolFull, err)
	}
	return err
}

// active is the segment that is appended to, nil if there is none.
func (s *spool) active() *segment {
	if n := len(s.segments); n > 0 && s.segments[n-1].cipher != nil {
		return s.segments[n-1]
	}
	return nil
}

// begin makes the next segment. A segment of an earlier process is never
// continued: its nonces after a cut would be used twice.
func (s *spool) begin() (*segment, error) {
	header, cipher, err := newSegmentHeader(s.keys[0])
	if err != nil {
		return nil, err
	}
	seg := &segment{id: s.nextID, size: int64(len(header)), cipher: cipher}
	seg.path = filepath.Join(s.dir, fmt.Sprintf("%020d%s", seg.id, segmentSuffix))
	if seg.file, err = os.OpenFile(seg.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err != nil {
		return nil, err
	}
	s.nextID++
	if _, err := seg.file.WriteAt(header, 0); err != nil {
		_ = seg.file.Close()
		return nil, errors.Join(err, os.Remove(seg.path))
	}
	if s.records == 0 {
		s.front = beginning(seg)
	}
	s.segments = append(s.segments, seg)
	s.bytes += seg.size
	s.dirDirty = true
	return seg, nil
}

// finish ends appending to a segment.
func (s *spool) finish(seg *segment) {
	if seg == nil {
		return
	}
	seg.cipher = nil
	seg.closeIfDone()
}

func beginning(seg *segment) place {
	return place{segment: seg.id, offset: int64(segmentHeader)}
}

func segmentID(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseUint(digits, 10, 64)
	return id, err == nil && id > 0
}
