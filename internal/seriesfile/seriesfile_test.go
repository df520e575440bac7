package seriesfile

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agentaudit/agentaudit/pkg/anomaly"
)

func TestReadRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		err := Read(strings.NewReader(text), func(Row) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v, expected %s", text, err, want)
		}
	}
	f("", "line 1: ")
	f("time,value\n", "line 1: ")
	f("timestamp,value\n2026-01-01 00:00:00,1\nyesterday,2\n", "line 3: the time")
	f("timestamp,value\n2026-13-01 00:00:00,1\n", "line 2: the time")
	f("timestamp,value\n2026-01-01 00:00:00\n", "line 2: a time and a value")
	f("timestamp,value\n2026-01-01 00:00:00,1,2\n", "line 2: a time and a value")
	f("timestamp,value\n\n", "line 2: a time and a value")
	for _, value := range []string{"", "x", "NaN", "Inf", "-inf", "1e31", "1e999"} {
		f("timestamp,value\n2026-01-01 00:00:00,"+value+"\n", "line 2: the value")
	}
	f("timestamp,value\n2026-01-01 00:00:00,"+strings.Repeat("1", maxLineBytes)+"\n", "line 2: longer than")
}

func TestReadTakes(t *testing.T) {
	var got []Row
	text := "\ufefftimestamp,value\r\n2026-08-06 00:00:00,1\r\n2026-08-06 00:00:00.25,-2.5e3\n2026-08-06T02:00:00+02:00, 7\n2026-08-05T23:00:00,0"
	if err := Read(strings.NewReader(text), func(r Row) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	want := []Row{
		{"2026-08-06 00:00:00", 1785974400, 1}, {"2026-08-06 00:00:00.25", 1785974400, -2500},
		{"2026-08-06T02:00:00+02:00", 1785974400, 7}, {"2026-08-05T23:00:00", 1785970800, 0},
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: %v, expected %v", i, got[i], want[i])
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("timestamp,value\n2026-08-06 00:00:00,1\n2026-08-06T02:00:00Z,1e9\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows := 0
		c := anomaly.DefaultSeriesConfig()
		var series anomaly.Series
		_ = Read(strings.NewReader(string(text)), func(r Row) error {
			rows++
			if unit := anomaly.Unit(series.Step(&c, r.Time, r.Value).Strength); !(unit >= 0 && unit <= 1) {
				t.Errorf("score %g", unit)
			}
			return nil
		})
		if lines := strings.Count(string(text), "\n") + 1; rows > lines {
			t.Errorf("%d rows of %d lines", rows, lines)
		}
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestScoreFolder(t *testing.T) {
	in := t.TempDir()
	out := filepath.Join(in, "scores")
	var rows strings.Builder
	rows.WriteString("timestamp,value\n")
	for i := range 1000 {
		value := i % 7
		if i == 900 {
			value = 500
		}
		rows.WriteString("2026-08-06 00:00:00," + strconv.Itoa(value) + "\n")
	}
	write(t, filepath.Join(in, "a", "b.csv"), rows.String())
	write(t, filepath.Join(in, "empty.csv"), "timestamp,value\n")
	write(t, filepath.Join(in, "README.txt"), "no series")
	config := anomaly.DefaultSeriesConfig()
	for range 2 { // a second time over the first, whose scores are not scored
		var count atomic.Uint64
		result, err := ScoreFolder(context.Background(), &config, in, out, &count)
		if err != nil || result != (Result{Series: 2, Rows: 1000, Alerts: 1}) || count.Load() != 1000 {
			t.Fatalf("%+v, %d: %v", result, count.Load(), err)
		}
	}
	text, err := os.ReadFile(filepath.Join(out, "a", "b.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) != 1001 || lines[0] != "timestamp,anomaly_score" {
		t.Fatalf("%d lines, the first is %q", len(lines), lines[0])
	}
	for i, line := range lines[1:] {
		stamp, text, _ := strings.Cut(line, ",")
		score, err := strconv.ParseFloat(text, 64)
		if err != nil || stamp != "2026-08-06 00:00:00" || score < 0 || score > 1 || (score >= anomaly.AlertScore) != (i == 900) {
			t.Errorf("row %d: %s: %v", i, line, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(out, "*", ".score-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

func TestScoreFolderRefuses(t *testing.T) {
	config := anomaly.DefaultSeriesConfig()
	f := func(in, out, want string) {
		t.Helper()
		if _, err := ScoreFolder(context.Background(), &config, in, out, new(atomic.Uint64)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, expected %s", err, want)
		}
	}
	in, out := t.TempDir(), t.TempDir()
	f(in, out, "no .csv file")
	f(in, in, "both")
	write(t, filepath.Join(in, "bad.csv"), "timestamp,value\n2026-08-06 00:00:00,1\n2026-08-06 00:00:00,secret\n")
	f(in, out, "bad.csv: line 3: ")
	if _, err := os.Stat(filepath.Join(out, "bad.csv")); !os.IsNotExist(err) {
		t.Errorf("scores of a refused file: %v", err)
	}
	if _, err := ScoreFolder(context.Background(), &config, in, out, new(atomic.Uint64)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("an error that quotes the file: %v", err)
	}
}
