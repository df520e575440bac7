package events

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// loadPause is the pause between attempts to read a segment at the start.
const loadPause = 20 * time.Millisecond

// load reads what an earlier process left.
func (s *spool) load() error {
	names, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("read the spool: %w", err)
	}
	for _, entry := range names {
		// The number of one that was set aside is not given again.
		name, aside := strings.CutSuffix(entry.Name(), damagedSuffix)
		id, ok := segmentID(name)
		if !ok {
			continue
		}
		s.nextID = max(s.nextID, id)
		if !aside {
			s.segments = append(s.segments, &segment{id: id, path: filepath.Join(s.dir, name), inherited: true})
		}
	}
	slices.SortFunc(s.segments, func(a, b *segment) int { return cmp.Compare(a.id, b.id) })
	position, at, err := openPosition(filepath.Join(s.dir, spoolPositionName))
	if err != nil {
		return err
	}
	s.position = position
	// Beyond the position's segment too, even if that is gone: a new segment of
	// its id would be read from the middle.
	s.nextID = max(s.nextID, at.segment) + 1

	kept := s.segments[:0]
	for i, seg := range s.segments {
		if seg.id < at.segment {
			s.removeEmpty(seg) // drained before the process ended, not yet deleted
			continue
		}
		atFound, err := s.measure(seg, at, i == len(s.segments)-1)
		if err != nil {
			return err
		}
		if seg.records == 0 {
			s.removeEmpty(seg)
			continue
		}
		if atFound {
			s.front = at
			s.records -= int64(at.index)
		}
		s.bytes += seg.size
		s.records += int64(seg.records)
		kept = append(kept, seg)
	}
	s.segments = kept
	if s.front.segment == 0 && len(kept) > 0 {
		s.front = beginning(kept[0])
	}
	return nil
}

// removeEmpty removes a segment without a record to read, or keeps it aside. One
// that stays does no harm: its number is not given again.
func (s *spool) removeEmpty(seg *segment) {
	if seg.damaged {
		s.moveAside(seg.path)
		return
	}
	if err := os.Remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("an empty spool segment cannot be removed", "segment", seg.path, "error", err)
	}
}

// measure scans a segment, again if its file cannot be read. It returns an error
// only if other segments would fare no better.
func (s *spool) measure(seg *segment, at place, newest bool) (found bool, err error) {
	for try := 1; ; try++ {
		seg.size, seg.records = 0, 0
		found, err = s.scan(seg, at, newest)
		switch {
		case err == nil:
			return found, nil
		case errors.Is(err, ErrSpoolKey), errors.Is(err, errSegmentVersion), outOfResources(err):
			return false, err
		case try < readTries:
			time.Sleep(loadPause)
			continue
		}
		// What was read before the error is still delivered.
		s.log.Error("spool segment cannot be read to its end; it will be set aside, how many events are lost is not known",
			"segment", seg.path, "events_before", seg.records, "error", err)
		s.markDamaged(seg)
		return found, nil
	}
}

// scan measures the frames of a segment. What a killed process left of its last
// frame is cut off if it is the newest; a damaged frame is stepped over if
// another follows. It says whether the place at is the beginning of one of its
// frames (or its end).
func (s *spool) scan(seg *segment, at place, newest bool) (found bool, err error) {
	f, err := os.Open(seg.path)
	if err != nil {
		return false, fmt.Errorf("open a spool segment: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("measure %s: %w", seg.path, err)
	}
	seg.writtenMillis = info.ModTime().UnixMilli()

	head := make([]byte, segmentHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read %s: %w", seg.path, err)
	}
	cipher, err := openSegmentHeader(head[:n], s.keys)
	switch {
	case errors.Is(err, errSegmentKey):
		return false, fmt.Errorf("%s: %w", s.dir, ErrSpoolKey)
	case errors.Is(err, errSegmentVersion):
		return false, fmt.Errorf("%s: %w", seg.path, err)
	case errors.Is(err, errFrameShort):
		// Killed while making it: a segment without its header holds nothing.
		s.reportCut(seg, info.Size())
		return false, nil
	case err != nil:
		// Not readable without its salt. It is left to people, out of the way.
		s.losses.cutBytes += info.Size()
		s.log.Error("spool segment has no readable header, it is set aside", "segment", seg.path, "bytes", info.Size())
		s.markDamaged(seg)
		return false, nil
	}
	seg.size = int64(segmentHeader)
	frames := frameScanner{file: f, offset: seg.size, end: info.Size()}
	var stop error
	for {
		if at.segment == seg.id && at.offset == seg.size && at.index == seg.records {
			found = true
		}
		frame, err := frames.next()
		if err == nil {
			seg.size += int64(len(frame))
			seg.records++
			seg.lastMillis = frameTime(frame)
			continue
		}
		stop = err
		if !errors.Is(err, errFrameShort) && !errors.Is(err, errFrameBad) {
			return found, fmt.Errorf("read %s: %w", seg.path, err)
		}
		if seg.size == info.Size() {
			return found, nil
		}
		bad := place{segment: seg.id, offset: seg.size, index: seg.records}
		to, more, err := salvage(f, cipher, bad, info.Size())
		if err != nil {
			return found, fmt.Errorf("read %s: %w", seg.path, err)
		}
		if !more {
			break
		}
		s.log.Error("spool segment is damaged; those of its events that can be read are recovered",
			"segment", seg.path, "offset", bad.offset, "bytes", to.offset-bad.offset, "events", to.index-bad.index)
		s.markDamaged(seg)
		seg.size, seg.records = to.offset, to.index
		frames = frameScanner{file: f, offset: seg.size, end: info.Size()}
	}
	return found, s.cutTail(seg, f, info, stop, newest)
}

// cutTail decides about bytes at a segment's end that are no frame. A write that
// was never finished is cut off; what may have been a record is kept.
func (s *spool) cutTail(seg *segment, f io.ReaderAt, info fs.FileInfo, stop error, newest bool) error {
	tail := info.Size() - seg.size
	torn := errors.Is(stop, errFrameShort)
	if !torn {
		b := make([]byte, tail)
		if _, err := f.ReadAt(b, seg.size); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", seg.path, err)
		}
		torn = len(bytes.TrimLeft(b, "\x00")) == 0
	}
	if !torn {
		s.log.Error("spool segment is damaged and nothing behind that can be read; it will be set aside, how many events are lost is not known",
			"segment", seg.path, "offset", seg.size, "bytes", tail)
		s.markDamaged(seg)
		return nil
	}
	s.reportCut(seg, tail)
	if !newest || seg.damaged {
		return nil // what lies beyond seg.size is not read
	}
	err := os.Truncate(seg.path, seg.size)
	if err == nil {
		err = os.Chtimes(seg.path, time.Time{}, info.ModTime()) // the events' age counts from it
	}
	if err != nil {
		s.log.Warn("the torn tail of a spool segment cannot be cut off, it is passed over", "segment", seg.path, "error", err)
	}
	return nil
}

func (s *spool) reportCut(seg *segment, bytes int64) {
	if bytes == 0 {
		return
	}
	s.losses.cutBytes += bytes
	s.log.Warn("spool segment ends in the middle of a record, which is cut",
		"segment", seg.path, "bytes", bytes)
}
