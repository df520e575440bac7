package events

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// spoolReader is where the one reading goroutine stands, ahead of what is
// committed by the records it holds.
type spoolReader struct {
	at     place
	file   *os.File // of segment at.segment; nil before its first record
	cipher *frameCipher
	frames frameScanner

	failures int // in a row, to read at this place
}

// read returns the next records in order, at most maxRecords of them and, but
// for one large record, at most maxBytes of keys and values; none when nothing
// is left. Records that turn out damaged are counted as lost, logged and
// skipped. An error is worth another try: a segment that stays unreadable is
// set aside after readTries of them.
func (s *spool) read(maxRecords, maxBytes int) ([]spoolRecord, error) {
	r := &s.reader
	var records []spoolRecord
	for bytes := 0; len(records) < maxRecords && bytes < maxBytes; {
		seg, ok := s.segmentAt(r)
		if !ok {
			break
		}
		rec, err := r.next(&seg, s.keys)
		if errors.Is(err, errFrameBad) || errors.Is(err, errFrameShort) || errors.Is(err, errSegmentHeader) {
			s.skipDamaged(&seg, r)
			continue
		}
		if err != nil {
			r.close()
			if !outOfResources(err) {
				r.failures++
			}
			if r.failures >= readTries {
				s.setAside(&seg, r, err)
				continue
			}
			return records, fmt.Errorf("read %s: %w", seg.path, err)
		}
		r.failures = 0
		records = append(records, rec)
		bytes += len(rec.key) + len(rec.value)
	}
	if len(records) == 0 {
		return nil, s.commit(0) // gives back segments whose last records were lost
	}
	return records, nil
}

// segmentAt returns a copy of the segment that the next record is in, moving
// the reader on to it.
func (s *spool) segmentAt(r *spoolReader) (segment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.at.segment < s.front.segment {
		r.move(s.front)
	}
	for _, seg := range s.segments {
		switch {
		case seg.id < r.at.segment:
			continue
		case seg.id > r.at.segment:
			r.move(beginning(seg))
		}
		if r.at.offset < seg.size {
			return *seg, true
		}
	}
	return segment{}, false
}

func (r *spoolReader) move(to place) {
	r.close()
	r.at = to
	r.failures = 0
}

func (r *spoolReader) close() {
	if r.file != nil {
		_ = r.file.Close() // only read from
		r.file = nil
	}
}

// next reads one record of seg and steps over it.
func (r *spoolReader) next(seg *segment, keys [][]byte) (spoolRecord, error) {
	if r.file == nil {
		if err := r.open(seg, keys); err != nil {
			return spoolRecord{}, err
		}
	}
	r.frames.end = seg.size
	frame, err := r.frames.next()
	if err != nil {
		return spoolRecord{}, err
	}
	rec, err := r.cipher.openFrame(frame, r.at.index)
	if err != nil {
		return spoolRecord{}, err
	}
	if seg.inherited {
		// The frames' distances are those of a clock that does not jump; the time
		// of the last write ties them to the wall.
		rec.inherited = true
		rec.wallMillis = seg.writtenMillis - max(0, seg.lastMillis-rec.timeMillis)
	}
	r.at.offset += int64(len(frame))
	r.at.index++
	return rec, nil
}

func (r *spoolReader) open(seg *segment, keys [][]byte) error {
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	head := make([]byte, segmentHeader)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, f.Close())
	}
	cipher, err := openSegmentHeader(head[:n], keys)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.file, r.cipher = f, cipher
	r.frames = frameScanner{file: f, offset: r.at.offset, buf: r.frames.buf[:0]}
	return nil
}

// commit gives up the n records that were read last, all of them: Kafka has
// them. Disk is given back as segments become empty.
func (s *spool) commit(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records -= int64(n)
	s.front = s.reader.at

	// What an error here leaves behind is sent again by the next process.
	var errs error
	for len(s.segments) > 0 {
		seg := s.segments[0]
		drained := seg.id < s.front.segment || (seg.id == s.front.segment && s.front.offset >= seg.size)
		if !drained {
			break
		}
		if seg.id == s.reader.at.segment {
			s.reader.close()
		}
		s.segments = s.segments[1:]
		s.bytes -= seg.size
		seg.cipher, seg.dirty = nil, false
		seg.closeIfDone()
		if seg.damaged {
			s.moveAside(seg.path)
			continue
		}
		if err := os.Remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, fmt.Errorf("remove a drained segment: %w", err))
		}
	}
	return errors.Join(errs, writePosition(s.position, s.front))
}

// skipTo gives up the first n records, which end at the place to, without
// reading them.
func (s *spool) skipTo(to place, n int) error {
	s.reader.move(to)
	return s.commit(n)
}

// frameScanner reads the frames of a file in order. What next returns is valid
// until it is called again.
type frameScanner struct {
	file   io.ReaderAt
	offset int64 // of the next frame
	end    int64 // of what may be read
	buf    []byte
}

// scanBytes is what is read at once.
const scanBytes = 256 << 10

// next returns the next frame, errFrameShort if none is left or the last one
// is not whole, errFrameBad, or an error of the file.
func (f *frameScanner) next() ([]byte, error) {
	size, err := checkFrame(f.buf)
	for want := max(size, scanBytes); errors.Is(err, errFrameShort); want = size {
		have := len(f.buf)
		fillErr := f.fill(want)
		size, err = checkFrame(f.buf)
		if errors.Is(err, errFrameShort) && fillErr != nil {
			return nil, fillErr // what was read before it is not held back
		}
		if len(f.buf) == have {
			break // no more
		}
	}
	if err != nil {
		return nil, err
	}
	frame := f.buf[:size]
	f.buf = f.buf[size:]
	f.offset += int64(size)
	return frame, nil
}

// fill makes buf hold want bytes from offset on, or all there are.
func (f *frameScanner) fill(want int) error {
	want = int(min(int64(want), f.end-f.offset))
	have := len(f.buf)
	if want <= have {
		return nil
	}
	grown := make([]byte, want)
	copy(grown, f.buf)
	n, err := f.file.ReadAt(grown[have:], f.offset+int64(have))
	f.buf = grown[:have+n]
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
