package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// watermarksFile notes how far each partition had come when its records were last forced to the
// disk. kfake keeps no such thing: without it, a partition whose files are gone or cut would give
// its offsets out again.
const watermarksFile = "watermarks.json"

const watermarksVersion = 1

// watermarks are by topic name.
type watermarks map[string]topicMarks

type topicMarks struct {
	// ID tells a topic from an earlier one of the same name.
	ID string `json:"id"`
	// Partitions, by number.
	Partitions []partitionMarks `json:"partitions"`
}

type partitionMarks struct {
	// End is the offset behind the last record that is safely on disk; the next record's, or below.
	End int64 `json:"end"`
	// Start is the first offset that was not deleted.
	Start int64 `json:"start"`
}

// of returns the marks of a partition; zero if there are none.
func (w watermarks) of(t storedTopic, partition int) partitionMarks {
	marks, ok := w[t.Name]
	if !ok || marks.ID != t.ID || partition >= len(marks.Partitions) {
		return partitionMarks{}
	}
	return marks.Partitions[partition]
}

type watermarksDocument struct {
	Version int        `json:"version"`
	Topics  watermarks `json:"topics"`
}

// readWatermarks returns none for a directory that never had any.
func readWatermarks(dir string) (watermarks, error) {
	b, err := os.ReadFile(filepath.Join(dir, watermarksFile))
	if errors.Is(err, os.ErrNotExist) {
		return watermarks{}, nil
	}
	if err != nil {
		return nil, err
	}
	var d watermarksDocument
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, fmt.Errorf("read %s: %w", watermarksFile, err)
	}
	if d.Version != watermarksVersion {
		return nil, fmt.Errorf("read %s: version %d is not %d", watermarksFile, d.Version, watermarksVersion)
	}
	return d.Topics, nil
}

// writeWatermarks replaces the file; when it returns, the new one survives a power loss.
func writeWatermarks(dir string, w watermarks) error {
	b, err := json.Marshal(watermarksDocument{Version: watermarksVersion, Topics: w})
	if err != nil {
		return fmt.Errorf("write %s: %w", watermarksFile, err)
	}
	if err := durable.Replace(filepath.Join(dir, watermarksFile), append(b, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", watermarksFile, err)
	}
	return nil
}
