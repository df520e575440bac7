package seriesfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

// Result is what was done to a folder.
type Result struct {
	Series int   `json:"series"`
	Rows   int64 `json:"rows"`
	Alerts int64 `json:"alerts"`
}

// ScoreFolder runs the detector over every .csv file below in, each from nothing and in the order of its rows, and writes time and score of each row under
// the same relative path below out. What is there is replaced. Rows counts the rows done so far, for whoever looks on.
//
// An error names the file, and the line if there is one; files that were scored before it are complete, the one it names is not written.
func ScoreFolder(ctx context.Context, c *anomaly.SeriesConfig, in, out string, rows *atomic.Uint64) (Result, error) {
	var result Result
	if err := c.Validate(); err != nil {
		return result, err
	}
	files, err := list(in, out)
	if err != nil {
		return result, err
	}
	if len(files) == 0 {
		return result, fmt.Errorf("no .csv file below %s", in)
	}
	for _, name := range files {
		if err := scoreFile(ctx, c, filepath.Join(in, name), filepath.Join(out, name), rows, &result); err != nil {
			return result, err
		}
		result.Series++
	}
	return result, nil
}

// list returns the .csv files below in, relative to it. What is below out is left out: it may lie below in, and a second run is not to score scores.
func list(in, out string) ([]string, error) {
	skip, err := filepath.Abs(out)
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(in)
	if err != nil {
		return nil, err
	}
	if root == skip {
		return nil, fmt.Errorf("%s is both what is read and what is written", in)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == skip:
			return fs.SkipDir
		// Symbolic links and pipes are not followed: they lead out of the folder, or never end.
		case !entry.Type().IsRegular() || !strings.EqualFold(filepath.Ext(path), ".csv"):
			return nil
		}
		name, err := filepath.Rel(root, path)
		files = append(files, name)
		return err
	})
	return files, err
}

// scoreFile writes beside the target first, so that a file of scores is whole or not there.
func scoreFile(ctx context.Context, c *anomaly.SeriesConfig, in, out string, rows *atomic.Uint64, result *Result) error {
	source, err := os.Open(in)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	target, err := os.CreateTemp(filepath.Dir(out), ".score-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(target.Name()) }() // gone already if it was renamed
	err = Score(ctx, c, source, target, rows, result)
	if err == nil {
		err = target.Chmod(0o644)
	}
	if err = errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	return os.Rename(target.Name(), out)
}

// Score reads a series and writes its scores.
func Score(ctx context.Context, c *anomaly.SeriesConfig, in io.Reader, out io.Writer, rows *atomic.Uint64, result *Result) error {
	w := bufio.NewWriterSize(out, 64<<10)
	if _, err := w.WriteString("timestamp,anomaly_score\n"); err != nil {
		return err
	}
	var series anomaly.Series
	var line []byte
	err := Read(in, func(row Row) error {
		if result.Rows%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		score := series.Step(c, row.Time, row.Value)
		if score.Alert() {
			result.Alerts++
		}
		result.Rows++
		rows.Add(1)
		line = append(line[:0], row.Stamp...)
		line = append(line, ',')
		line = formatScore(line, score)
		line = append(line, '\n')
		_, err := w.Write(line)
		return err
	})
	if err != nil {
		return err
	}
	return w.Flush()
}

// formatScore writes six digits, and sees to it that rounding makes no alert of what is none.
func formatScore(line []byte, score anomaly.Score) []byte {
	unit := anomaly.Unit(score.Strength)
	const justBelow = anomaly.AlertScore - 1e-6
	if !score.Alert() && unit > justBelow {
		unit = justBelow
	}
	return strconv.AppendFloat(line, unit, 'f', 6, 64)
}
