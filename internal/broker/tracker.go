package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// tracker forces records to the disk and notes how far each partition has come. It belongs to one
// goroutine.
type tracker struct {
	cluster *kfake.Cluster
	dir     string // kfake's
	marks   watermarks
}

func newTracker(cluster *kfake.Cluster, dir string) (*tracker, error) {
	marks, err := readWatermarks(dir)
	if err != nil {
		return nil, err
	}
	return &tracker{cluster: cluster, dir: dir, marks: marks}, nil
}

// flush forces every partition that has grown since the last time to the disk, and then notes its
// end. An error means that the disk does not take what was acknowledged: the broker must end.
func (t *tracker) flush() error {
	topics, err := readTopics(t.dir)
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	next := watermarks{}
nextTopic:
	for _, topic := range topics {
		infos := t.cluster.PartitionInfos(topic.Name)
		if len(infos) == 0 {
			continue // just deleted
		}
		marks := topicMarks{ID: topic.ID, Partitions: make([]partitionMarks, len(infos))}
		for i, info := range infos {
			old := t.marks.of(topic, i)
			marks.Partitions[i] = partitionMarks{End: info.HighWatermark, Start: info.LogStartOffset}
			if info.HighWatermark == old.End {
				continue
			}
			if err := syncPartition(partitionDir(t.dir, topic.Name, i), old.End); err != nil {
				if errors.Is(err, os.ErrNotExist) && t.deleted(topic) {
					continue nextTopic
				}
				return fmt.Errorf("flush partition %s/%d: %w", topic.Name, i, err)
			}
		}
		next[topic.Name] = marks
	}
	return t.write(next)
}

// deleted says that a topic is gone, or another one has its name now.
func (t *tracker) deleted(topic storedTopic) bool {
	// kfake answers between two requests, so one that is deleting the topic has written that down.
	t.cluster.PartitionInfos(topic.Name)
	now, err := readTopics(t.dir)
	return err == nil && !slices.ContainsFunc(now, func(other storedTopic) bool { return other.ID == topic.ID })
}

func (t *tracker) write(next watermarks) error {
	if maps.EqualFunc(t.marks, next, equalMarks) {
		return nil
	}
	if err := writeWatermarks(t.dir, next); err != nil {
		return err
	}
	t.marks = next
	return nil
}

func equalMarks(a, b topicMarks) bool {
	if a.ID != b.ID || len(a.Partitions) != len(b.Partitions) {
		return false
	}
	for i := range a.Partitions {
		if a.Partitions[i] != b.Partitions[i] {
			return false
		}
	}
	return true
}

// syncPartition forces the segments that hold records from an offset on to the disk. Another
// handle of a file than the writer's does as well.
func syncPartition(dir string, from int64) error {
	bases, err := segmentBases(dir)
	if err != nil {
		return err
	}
	for i := len(bases) - 1; i >= 0; i-- {
		for _, path := range []string{segmentPath(dir, bases[i]), indexPath(dir, bases[i])} {
			if err := durable.Sync(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if bases[i] <= from {
			break
		}
	}
	return durable.Sync(dir)
}

// closed notes the ends that kfake wrote when it closed.
func (t *tracker) closed() error {
	topics, err := readTopics(t.dir)
	if err != nil {
		return err
	}
	next := watermarks{}
	for _, topic := range topics {
		marks := topicMarks{ID: topic.ID, Partitions: make([]partitionMarks, topic.Partitions)}
		for p := range topic.Partitions {
			marks.Partitions[p] = t.marks.of(topic, p)
			dir := partitionDir(t.dir, topic.Name, p)
			s, err := readSnapshot(dir)
			if err != nil {
				return err
			}
			if s == nil || s.HighWatermark < marks.Partitions[p].End {
				continue // it could not be written: kfake has logged why
			}
			if err := syncPartition(dir, marks.Partitions[p].End); err != nil {
				return err
			}
			marks.Partitions[p] = partitionMarks{End: s.HighWatermark, Start: s.LogStartOffset}
		}
		next[topic.Name] = marks
	}
	return t.write(next)
}

// flushEvery is how often written records are forced to the disk: a power loss costs what came since.
const flushEvery = time.Second

// keepHouse flushes and removes what is too old, until ctx ends. kick asks for a flush at once.
func keepHouse(ctx context.Context, t *tracker, r *retention, kick <-chan struct{}) error {
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	clean := time.NewTicker(retentionEvery)
	defer clean.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clean.C:
			if err := r.apply(ctx, time.Now()); err != nil {
				return err
			}
		case <-flush.C:
		case <-kick:
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
}

func indexPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%d.idx", base))
}
