package cli

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// writeSeries makes dir/name of the given lines.
func writeSeries(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fiveMinutes are the lines of a series with a saw tooth, and one value that is far off it.
func fiveMinutes(rows, off int) []string {
	lines := []string{"timestamp,value"}
	at := time.Date(2026, 8, 6, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		value := i % 7
		if i == off {
			value = 500
		}
		lines = append(lines, at.Add(time.Duration(i)*5*time.Minute).Format(time.DateTime)+","+strconv.Itoa(value))
	}
	return lines
}

func TestScoreSeries(t *testing.T) {
	in, out := t.TempDir(), filepath.Join(t.TempDir(), "made", "here")
	const rows, off = 1000, 900
	lines := fiveMinutes(rows, off)
	writeSeries(t, filepath.Join(in, "group", "saw.csv"), lines...)
	writeSeries(t, filepath.Join(in, "empty.csv"), "timestamp,value")

	code, stdout, stderr := run(nil, "score-series", in, "--out", out)
	if code != 0 || stdout != "scored 2 series of 1000 rows: 1 alerts\n" || stderr != "" {
		t.Fatalf("exit code %d, %q, %q", code, stdout, stderr)
	}
	text, err := os.ReadFile(filepath.Join(out, "group", "saw.csv"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(got) != 1+rows || got[0] != "timestamp,anomaly_score" {
		t.Fatalf("%d lines, the first is %q", len(got), got[0])
	}
	for i, line := range got[1:] {
		stamp, score, _ := strings.Cut(line, ",")
		wanted, _, _ := strings.Cut(lines[1+i], ",")
		x, err := strconv.ParseFloat(score, 64)
		if err != nil || stamp != wanted || !(x >= 0 && x <= 1) || (x >= 0.5) != (i == off) {
			t.Errorf("row %d: %q", i, line)
		}
	}

	code, stdout, stderr = run(nil, "score-series", in, "--out", out, "--json")
	if code != 0 || stdout != `{"series":2,"rows":1000,"alerts":1}`+"\n" || stderr != "" {
		t.Errorf("as JSON: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// What is no series is one line on stderr with file and line and nothing of what stands there, exit code 2, and no scores.
func TestScoreSeriesRefuses(t *testing.T) {
	f := func(wanted string, args ...string) {
		t.Helper()
		code, stdout, stderr := run(nil, append([]string{"score-series"}, args...)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, wanted) || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "secret") {
			t.Errorf("score-series %q: exit code %d, %q, %q; want %q", args, code, stdout, stderr, wanted)
		}
	}
	out := t.TempDir()
	f("--out", t.TempDir())
	f("expected \"<dir>\"", "--out", out)
	f("/nowhere", "/nowhere", "--out", out)
	f("no .csv file below", t.TempDir(), "--out", out)
	f("both", out, "--out", out)
	for wanted, lines := range map[string][]string{
		`line 1: the header "timestamp,value" expected`: {"secret,value", "2026-08-06 00:00:00,1"},
		"line 2: the time is not of the form":           {"timestamp,value", "secret,1"},
		"line 3: the value is no number within":         {"timestamp,value", "2026-08-06 00:00:00,1", "2026-08-06 00:05:00,secret"},
		"line 2: a time and a value":                    {"timestamp,value", "2026-08-06 00:00:00,1,secret"},
	} {
		in := t.TempDir()
		writeSeries(t, filepath.Join(in, "bad.csv"), lines...)
		f("bad.csv: "+wanted, in, "--out", out)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("files of what was refused: %v, %v", left, err)
	}
}
