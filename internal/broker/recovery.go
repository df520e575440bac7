package broker

import (
	"fmt"
	"log/slog"
	"os"
	"time"
)

// recoverStore checks everything that is stored in dir before kfake loads it. It returns an error, and
// has changed nothing that matters, if records are missing that were safely stored. Otherwise each
// partition will begin where it ended.
func recoverStore(dir string, log *slog.Logger) error {
	topics, err := readTopics(dir)
	if err != nil {
		return fmt.Errorf("check the broker's directory: %w", err)
	}
	marks, err := readWatermarks(dir)
	if err != nil {
		return fmt.Errorf("check the broker's directory: %w", err)
	}
	for _, t := range topics {
		for p := range t.Partitions {
			if err := recoverPartition(partitionDir(dir, t.Name, p), marks.of(t, p), log.With(slog.String("topic", t.Name), slog.Int("partition", p))); err != nil {
				return fmt.Errorf("partition %s/%d: %w", t.Name, p, err)
			}
		}
	}
	return nil
}

// Lost reports records that were safely stored and are not there any more.
type Lost struct {
	Dir      string // of the partition
	File     string // the damaged segment, if one is
	End      int64  // where the readable records end
	Expected int64  // where they ended when they were last forced to the disk
}

func (l *Lost) Error() string {
	what := "files are missing"
	if l.File != "" {
		what = l.File + " is damaged"
	}
	return fmt.Sprintf("%s: records end at offset %d and ended at %d before: restore %s from a backup, or move it away, and the partition goes on, empty, at offset %d",
		what, l.End, l.Expected, l.Dir, l.Expected)
}

func recoverPartition(dir string, marks partitionMarks, log *slog.Logger) error {
	bases, err := segmentBases(dir)
	if err != nil {
		return err
	}
	if len(bases) == 0 {
		if marks.End == 0 {
			return nil
		}
		return startEmpty(dir, marks.End)
	}
	segments := make([]*segment, 0, len(bases))
	end := bases[0]
	for i, base := range bases {
		s, err := readSegment(segmentPath(dir, base), base)
		if err != nil {
			return err
		}
		segments = append(segments, s)
		end = max(end, s.end)
		if s.damaged() && i < len(bases)-1 {
			return &Lost{Dir: dir, File: segmentPath(dir, base), End: s.end, Expected: max(marks.End, bases[i+1])}
		}
	}
	last := segments[len(segments)-1]
	if end < marks.End {
		lost := &Lost{Dir: dir, End: end, Expected: marks.End}
		if last.damaged() {
			lost.File = segmentPath(dir, last.base)
		}
		return lost
	}
	if last.damaged() {
		// A write that the end of the process, or of the power, interrupted.
		log.Warn("cut a batch that was not written whole", slog.Int64("offset", last.end), slog.Int64("bytes", last.sizeBytes-last.validBytes))
		if err := os.Truncate(segmentPath(dir, last.base), last.validBytes); err != nil {
			return fmt.Errorf("cut a batch that was not written whole: %w", err)
		}
		last.sizeBytes = last.validBytes
	}
	return settle(dir, segments, end, marks.Start)
}

// settle leaves a snapshot that fits the files, so that kfake loads them one by one. Partitions
// with transactions are left to kfake, which has to read them through for their state.
func settle(dir string, segments []*segment, end, start int64) error {
	stored, err := readSnapshot(dir)
	if err != nil {
		return err
	}
	if stored != nil && fits(stored, segments, end) {
		return nil
	}
	s := &snapshot{Version: kfakeVersion, HighWatermark: end, LastStableOffset: end,
		LogStartOffset: min(max(start, segments[0].first), end), CreatedAt: time.Now()}
	for _, x := range segments {
		if x.transactional {
			return nil
		}
		s.Epoch = max(s.Epoch, x.epoch)
		s.Segments = append(s.Segments, snapshotSegment{BaseOffset: x.base, Size: x.sizeBytes})
	}
	return writeSnapshot(dir, s)
}

func fits(s *snapshot, segments []*segment, end int64) bool {
	if s.HighWatermark != end || len(s.Segments) != len(segments) {
		return false
	}
	for i, x := range segments {
		if s.Segments[i] != (snapshotSegment{BaseOffset: x.base, Size: x.sizeBytes}) {
			return false
		}
	}
	return true
}

// startEmpty makes a partition without records begin at an offset: kfake reads that from a
// snapshot, but only beside a segment file.
func startEmpty(dir string, offset int64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(segmentPath(dir, offset), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return writeSnapshot(dir, &snapshot{Version: kfakeVersion, HighWatermark: offset, LastStableOffset: offset,
		LogStartOffset: offset, CreatedAt: time.Now(), Segments: []snapshotSegment{{BaseOffset: offset}}})
}
