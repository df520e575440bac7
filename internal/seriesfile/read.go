// Package seriesfile reads series from CSV files and writes what the detector says of them.
package seriesfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxLineBytes bounds a line: two numbers are far shorter, and a file of one endless line is not to fill the memory.
	maxLineBytes = 4 << 10
	// maxValue is the largest magnitude the detector tells apart.
	maxValue = 1e30
)

// Row is a value at a time.
type Row struct {
	// Stamp is the time as it stands in the file, Time the same in seconds since 1970.
	Stamp string
	Time  int64
	Value float64
}

// header of the files.
const header = "timestamp,value"

// timeForms are how times may be written. Without a zone they are UTC. Fractions of seconds are taken in all of them.
var timeForms = []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05"}

// Read calls row for each row of a series, in order. Times may repeat and may step back, as where clocks are put back: what counts is the order of the rows.
// An error names the line, from 1, and not what stands in it.
func Read(in io.Reader, row func(Row) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, maxLineBytes), maxLineBytes)
	number := 0
	for lines.Scan() {
		number++
		line := bytes.TrimSuffix(lines.Bytes(), []byte{'\r'})
		if number == 1 {
			if string(bytes.TrimPrefix(line, []byte("\ufeff"))) != header {
				return fmt.Errorf("line 1: the header %q expected", header)
			}
			continue
		}
		parsed, err := parseRow(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := row(parsed); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: longer than %d bytes", number+1, maxLineBytes)
	} else if err != nil {
		return fmt.Errorf("behind line %d: %w", number, err)
	}
	if number == 0 {
		return fmt.Errorf("line 1: the header %q expected", header)
	}
	return nil
}

func parseRow(line []byte) (Row, error) {
	stamp, text, found := strings.Cut(string(line), ",")
	if !found || strings.ContainsAny(stamp, "\"") || strings.Contains(text, ",") {
		return Row{}, fmt.Errorf("a time and a value, with one comma between, expected")
	}
	at, err := parseTime(strings.TrimSpace(stamp))
	if err != nil {
		return Row{}, err
	}
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(value) || math.Abs(value) > maxValue {
		return Row{}, fmt.Errorf("the value is no number within ±%g", maxValue)
	}
	return Row{Stamp: stamp, Time: at.Unix(), Value: value}, nil
}

func parseTime(text string) (time.Time, error) {
	for _, form := range timeForms {
		if at, err := time.Parse(form, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("the time is not of the form %s", strings.Join(timeForms, " or "))
}
