package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	retentionEvery = time.Minute
	// minRollAge is the least age at which a segment that still grows is closed, so that its oldest
	// records can be removed.
	minRollAge = time.Hour
	// rollPatience is how long a roll waits for partitions that get no records.
	rollPatience = 2 * time.Second
	// smallestSegment makes the next batch begin a new segment.
	smallestSegment = "1"
)

// retention removes records by age and size. kfake's own is off: it goes by the producers' clocks,
// and a partition that it empties begins at 0 after a crash. Here age counts from arrival (the last
// write to a segment), whole segments are removed, and the last one only once the end of its
// partition is on disk. It belongs to one goroutine.
type retention struct {
	cluster *kfake.Cluster
	tracker *tracker
	dir     string // kfake's
	address string
	log     *slog.Logger
	// seen is when a segment was first met, for file systems that do not know when it was made.
	seen map[string]time.Time
}

func newRetention(cluster *kfake.Cluster, t *tracker, dir, address string, log *slog.Logger) *retention {
	return &retention{cluster: cluster, tracker: t, dir: dir, address: address, log: log, seen: map[string]time.Time{}}
}

// segmentFile is what retention knows of a segment without reading it.
type segmentFile struct {
	path      string
	base, end int64 // the last one's end is not known: -1
	sizeBytes int64
	written   time.Time // last
}

// apply removes what is too old at now and closes segments that have grown for too long.
func (r *retention) apply(ctx context.Context, now time.Time) error {
	topics, err := readTopics(r.dir)
	if err != nil {
		return fmt.Errorf("retention: %w", err)
	}
	seen := map[string]time.Time{}
	for _, t := range topics {
		age, sizeBytes := t.retention()
		var roll []string // partitions' active segments
		for p := range t.Partitions {
			files, err := listSegments(partitionDir(r.dir, t.Name, p))
			if err != nil {
				return fmt.Errorf("retention of %s/%d: %w", t.Name, p, err)
			}
			if len(files) == 0 {
				continue
			}
			if err := r.remove(t.Name, p, files, age, sizeBytes, now); err != nil {
				return fmt.Errorf("retention of %s/%d: %w", t.Name, p, err)
			}
			last := files[len(files)-1]
			made, ok := birth(last.path)
			if !ok {
				if made, ok = r.seen[last.path]; !ok {
					made = now
				}
				seen[last.path] = made
			}
			if age > 0 && last.sizeBytes > 0 && now.Sub(made) >= max(minRollAge, age/10) {
				roll = append(roll, last.path)
			}
		}
		if len(roll) > 0 {
			if err := r.roll(ctx, t, len(roll)); err != nil {
				return fmt.Errorf("close old segments of %s: %w", t.Name, err)
			}
		}
	}
	r.seen = seen
	return nil
}

// remove deletes the oldest segments of a partition that are beyond a limit.
func (r *retention) remove(topic string, partition int, files []segmentFile, age time.Duration, sizeBytes int64, now time.Time) error {
	total := int64(0)
	for _, f := range files {
		total += f.sizeBytes
	}
	keep := 0
	for keep < len(files) {
		f := files[keep]
		tooOld := age > 0 && now.Sub(f.written) >= age
		tooMuch := sizeBytes > 0 && total > sizeBytes && keep < len(files)-1
		if !tooOld && !tooMuch {
			break
		}
		total -= f.sizeBytes
		keep++
	}
	if keep == 0 || files[len(files)-1].sizeBytes == 0 && keep == len(files) {
		return nil
	}
	var start int64
	if keep < len(files) {
		start = files[keep].base
	} else {
		// The partition will be empty: its end has to be on disk before, since nothing else tells
		// it after a crash. Records that come meanwhile stay.
		if err := r.tracker.flush(); err != nil {
			return err
		}
		topics, err := readTopics(r.dir)
		if err != nil {
			return err
		}
		for _, t := range topics {
			if t.Name == topic {
				start = r.tracker.marks.of(t, partition).End
			}
		}
	}
	err := r.cluster.DeleteRecords(topic, int32(partition), start)
	if errors.Is(err, kerr.OffsetOutOfRange) || errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil // deleted meanwhile, by a client
	}
	if err != nil {
		return err
	}
	r.log.Info("records removed by retention", slog.String("topic", topic), slog.Int("partition", partition), slog.Int64("below_offset", start))
	return nil
}

func listSegments(dir string) ([]segmentFile, error) {
	bases, err := segmentBases(dir)
	if err != nil {
		return nil, err
	}
	files := make([]segmentFile, 0, len(bases))
	for i, base := range bases {
		info, err := os.Stat(segmentPath(dir, base))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		f := segmentFile{path: segmentPath(dir, base), base: base, end: -1, sizeBytes: info.Size(), written: info.ModTime()}
		if i < len(bases)-1 {
			f.end = bases[i+1]
		}
		files = append(files, f)
	}
	return files, nil
}

// roll makes partitions of a topic begin new segments. kfake does so by size only: the size is
// set to the least for a moment.
func (r *retention) roll(ctx context.Context, t storedTopic, partitions int) error {
	before, err := r.segments(t)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(r.address))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := setSegmentBytes(ctx, client, t.Name, kmsg.IncrementalAlterConfigOpSet); err != nil {
		return err
	}
	for end := time.Now().Add(rollPatience); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		after, err := r.segments(t)
		if err != nil || after >= before+partitions {
			break
		}
	}
	// Also when ctx has ended: the setting is stored.
	return setSegmentBytes(context.WithoutCancel(ctx), client, t.Name, kmsg.IncrementalAlterConfigOpDelete)
}

func (r *retention) segments(t storedTopic) (int, error) {
	n := 0
	for p := range t.Partitions {
		bases, err := segmentBases(partitionDir(r.dir, t.Name, p))
		if err != nil {
			return 0, err
		}
		n += len(bases)
	}
	return n, nil
}

func setSegmentBytes(ctx context.Context, client *kgo.Client, topic string, op kmsg.IncrementalAlterConfigOp) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op = "segment.bytes", op
	if op == kmsg.IncrementalAlterConfigOpSet {
		config.Value = kmsg.StringPtr(smallestSegment)
	}
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	resource.Configs = append(resource.Configs, config)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	res, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, x := range res.Resources {
		if err := kerr.ErrorForCode(x.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}
