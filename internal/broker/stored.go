package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// What kfake has on disk, in the format of its version 1. It writes topics.json whenever a topic
// is made, changed or deleted, and a partition's snapshot.json when it closes.

const kfakeVersion = 1

type storedTopic struct {
	Name       string            `json:"name"`
	ID         string            `json:"-"`
	RawID      json.RawMessage   `json:"id"`
	Partitions int               `json:"partitions"`
	Configs    map[string]string `json:"configs"`
}

// readTopics returns the topics below dir, none if kfake never ran there.
func readTopics(dir string) ([]storedTopic, error) {
	b, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var d struct {
		Version int           `json:"version"`
		Topics  []storedTopic `json:"topics"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("read topics.json: %w", err)
	}
	if d.Version != kfakeVersion {
		return nil, fmt.Errorf("read topics.json: version %d is not %d", d.Version, kfakeVersion)
	}
	for i := range d.Topics {
		d.Topics[i].ID = string(d.Topics[i].RawID)
	}
	return d.Topics, nil
}

// retention returns the topic's age and size limits; 0 is none.
func (t *storedTopic) retention() (age time.Duration, sizeBytes int64) {
	ms := int64(defaultRetentionMillis)
	if v, err := strconv.ParseInt(t.Configs["retention.ms"], 10, 64); err == nil {
		ms = v
	}
	if v, err := strconv.ParseInt(t.Configs["retention.bytes"], 10, 64); err == nil {
		sizeBytes = v
	}
	return time.Duration(max(ms, 0)) * time.Millisecond, max(sizeBytes, 0)
}

// partitionDir is where kfake keeps a partition.
func partitionDir(dir, topic string, partition int) string {
	return filepath.Join(dir, "partitions", url.PathEscape(topic)+"-"+strconv.Itoa(partition))
}

// segmentPath is a segment's file within its partition.
func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, strconv.FormatInt(base, 10)+".dat")
}

// segmentBases lists a partition's segments, oldest first.
func segmentBases(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".dat")
		if !ok {
			continue
		}
		if base, err := strconv.ParseInt(name, 10, 64); err == nil {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// snapshot is kfake's snapshot.json. With one that fits the segment files it loads a partition
// segment by segment; without, it reads all of it into memory and starts an empty one at 0.
type snapshot struct {
	Version          int               `json:"version"`
	HighWatermark    int64             `json:"high_watermark"`
	LastStableOffset int64             `json:"last_stable_offset"`
	LogStartOffset   int64             `json:"log_start_offset"`
	Epoch            int32             `json:"epoch"`
	CreatedAt        time.Time         `json:"created_at"`
	Segments         []snapshotSegment `json:"segments"`
}

type snapshotSegment struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"`
}

func readSnapshot(dir string) (*snapshot, error) {
	b, err := os.ReadFile(filepath.Join(dir, "snapshot.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s snapshot
	if err := json.Unmarshal(b, &s); err != nil || s.Version != kfakeVersion {
		return nil, nil // kfake ignores such a one too
	}
	return &s, nil
}

func writeSnapshot(dir string, s *snapshot) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, "snapshot.json"), b)
}
