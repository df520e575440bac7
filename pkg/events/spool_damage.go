package events

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// readTries is after how many failures in a row a segment is set aside.
const readTries = 5

// minFrame is the smallest frame: a record of one byte.
const minFrame = frameHeader + gcmTag + 1

// maxSalvageBytes bounds what is decrypted to find the place of one frame, a few
// seconds' work.
const maxSalvageBytes = 4 << 30

// outOfResources says that an error is the process's, not the file's: no reason
// to give a segment up.
func outOfResources(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOMEM)
}

// salvage finds the first frame behind a damaged one at the place bad. The frame
// says itself where it belongs, as it opens with no other nonce; so neither
// garbage nor a frame of another place or segment passes.
func salvage(file io.ReaderAt, c *frameCipher, bad place, end int64) (to place, found bool, err error) {
	b := make([]byte, max(0, end-bad.offset))
	n, err := file.ReadAt(b, bad.offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return place{}, false, err
	}
	b = b[:n]
	for i := 1; i+minFrame <= len(b); i++ {
		size, err := checkFrame(b[i:])
		if err != nil {
			continue
		}
		missing := max(1, i/minFrame) // at most
		if int64(missing)*int64(size) > maxSalvageBytes {
			continue
		}
		for k := range uint64(missing) {
			if index := bad.index + 1 + k; c.opens(b[i:i+size], index) {
				return place{segment: bad.segment, offset: bad.offset + int64(i), index: index}, true, nil
			}
		}
	}
	return place{}, false, nil
}

// skipDamaged moves the reader from a frame that cannot be read to the next one
// that can, or to the segment's end. The file is kept.
func (s *spool) skipDamaged(seg *segment, r *spoolReader) {
	to := place{segment: seg.id, offset: seg.size, index: seg.records}
	if r.file != nil {
		// An error of the file is no worse than finding nothing.
		if next, found, _ := salvage(r.file, r.cipher, r.at, seg.size); found {
			to = next
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := int64(to.index - r.at.index)
	s.losses.lost += lost
	s.records -= lost
	for _, live := range s.segments {
		if live.id == seg.id {
			s.markDamaged(live)
		}
	}
	s.log.Error("spool segment is damaged; some of its events are lost, its file will be set aside",
		"segment", seg.path, "offset", r.at.offset, "bytes", to.offset-r.at.offset, "events", lost)
	r.move(to)
}

// markDamaged counts a damaged segment once. The caller holds mu, or is alone.
func (s *spool) markDamaged(seg *segment) {
	if !seg.damaged {
		seg.damaged = true
		s.losses.damaged++
	}
}

// setAside takes a segment that cannot be read out of the spool.
func (s *spool) setAside(seg *segment, r *spoolReader, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost := int64(seg.records - r.at.index)
	s.losses.lost += lost
	s.records -= lost
	s.log.Error("spool segment cannot be read; it is set aside, its remaining events are lost",
		"segment", seg.path, "events", lost, "error", cause)
	for i, live := range s.segments {
		if live.id != seg.id {
			continue
		}
		s.markDamaged(live)
		s.segments = append(s.segments[:i:i], s.segments[i+1:]...)
		s.bytes -= live.size
		live.cipher, live.dirty = nil, false
		live.closeIfDone()
		break
	}
	s.moveAside(seg.path)
	r.move(place{segment: seg.id, offset: seg.size, index: seg.records})
}

// moveAside keeps a damaged file under another name, where nothing reads or
// removes it.
func (s *spool) moveAside(path string) {
	err := os.Rename(path, path+damagedSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("a damaged spool segment cannot be renamed, save it before the next start", "segment", path, "error", err)
	}
}
