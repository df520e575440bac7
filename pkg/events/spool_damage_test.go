package events

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// oneSegment makes a spool of n records in one segment, and returns its content
// and where its frames begin.
func oneSegment(t *testing.T, n int) (content []byte, starts []int) {
	t.Helper()
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20)
	mustAppend(t, s, 0, n)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(segmentFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	at := segmentHeader
	for i := range n {
		starts = append(starts, at)
		r := record(i)
		at += r.frameBytes()
	}
	return content, starts
}

// TestSpoolRecoversBehindDamage damages frames in the middle of the newest
// segment: all others are delivered, the file is kept whole, the loss counted.
func TestSpoolRecoversBehindDamage(t *testing.T) {
	whole, starts := oneSegment(t, 10)
	damage := func(f func(b []byte)) []byte {
		b := slices.Clone(whole)
		f(b)
		return b
	}
	cases := map[string]struct {
		content []byte
		lost    []int
	}{
		"a bit of the ciphertext":         {damage(func(b []byte) { b[starts[3]+frameHeader+5] ^= 1 }), []int{3}},
		"a length that is too small":      {damage(func(b []byte) { b[starts[3]+3] ^= 0x10 }), []int{3}},
		"a length beyond the end":         {damage(func(b []byte) { b[starts[3]+1] = 0x3f }), []int{3}},
		"an impossible length":            {damage(func(b []byte) { b[starts[3]] = 0xff }), []int{3}},
		"zeros over several frames":       {damage(func(b []byte) { clear(b[starts[3]:starts[6]]) }), []int{3, 4, 5}},
		"the first frame":                 {damage(func(b []byte) { clear(b[starts[0]:starts[1]]) }), []int{0}},
		"two places":                      {damage(func(b []byte) { b[starts[2]+9] ^= 1; b[starts[7]+20] ^= 1 }), []int{2, 7}},
		"one place and a torn last frame": {damage(func(b []byte) { b[starts[2]+9] ^= 1 })[:starts[9]+30], []int{2, 9}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "00000000000000000001.seg")
			if err := os.WriteFile(path, tc.content, 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the same at the next start, if nothing was committed
				s := mustOpenSpool(t, dir, 1<<20)
				if got := s.lossesSoFar().damaged; got != 1 {
					t.Errorf("%d segments counted as damaged, want 1", got)
				}
				if err := s.close(); err != nil {
					t.Fatal(err)
				}
			}
			s := mustOpenSpool(t, dir, 1<<20)
			found, _ := s.pending()
			mustAppend(t, s, 10, 12)
			var want []spoolRecord
			for i := range 12 {
				if !slices.Contains(tc.lost, i) {
					want = append(want, record(i))
				}
			}
			got := drain(t, s, 4)
			if len(got) != len(want) {
				t.Fatalf("%d records are delivered, want %d", len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i].value, want[i].value) {
					t.Fatalf("record %d is %s, want %s", i, got[i].value, want[i].value)
				}
			}
			if lost := s.lossesSoFar().lost; found+2 != int64(len(got))+lost {
				t.Errorf("%d found and 2 added, %d read, %d lost", found, len(got), lost)
			}
			if n, bytes := s.pending(); n != 0 || bytes != 0 {
				t.Errorf("after draining: %d records, %d bytes", n, bytes)
			}
			if kept, err := os.ReadFile(path + damagedSuffix); err != nil || !bytes.Equal(kept, tc.content) {
				t.Errorf("the damaged segment was not kept as it was: %v", err)
			}
		})
	}
}

// TestSpoolNoiseAtTheEnd: what is neither a short frame nor zeros is not taken
// for a torn write.
func TestSpoolNoiseAtTheEnd(t *testing.T) {
	whole, starts := oneSegment(t, 3)
	for name, tc := range map[string]struct {
		content []byte
		kept    bool
	}{
		"noise":      {append(slices.Clone(whole), bytes.Repeat([]byte{0xff}, 100)...), true},
		"last frame": {func() []byte { b := slices.Clone(whole); b[starts[2]+20] ^= 1; return b }(), true},
		"zeros":      {append(slices.Clone(whole), make([]byte, 100)...), false},
		"short":      {whole[:len(whole)-1], false},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "00000000000000000001.seg")
		if err := os.WriteFile(path, tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		written := time.Now().Add(-50 * time.Hour).Truncate(time.Second)
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
		s := mustOpenSpool(t, dir, 1<<20)
		if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(written) {
			t.Errorf("%s: the time of the last write was changed, %v", name, err)
		}
		losses := s.lossesSoFar()
		if (losses.damaged == 1) != tc.kept || (losses.cutBytes > 0) == tc.kept {
			t.Errorf("%s: %+v", name, losses)
		}
		if n := len(drain(t, s, 10)); n < 2 {
			t.Errorf("%s: %d records are delivered", name, n)
		}
		kept, err := os.ReadFile(path + damagedSuffix)
		if tc.kept && !bytes.Equal(kept, tc.content) || !tc.kept && err == nil {
			t.Errorf("%s: kept %d bytes, %v", name, len(kept), err)
		}
	}
}

// drainTrying drains a spool whose reads fail, as often as it takes.
func drainTrying(t *testing.T, s *spool) (all []spoolRecord, failures int) {
	t.Helper()
	for failures < 100 {
		got, err := s.read(7, 1<<20)
		if err != nil {
			failures++
		}
		if err == nil && len(got) == 0 {
			return all, failures
		}
		if len(got) > 0 {
			if err := s.commit(len(got)); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, got...)
	}
	t.Fatal("an unreadable segment blocks the spool")
	return nil, 0
}

// TestSpoolSegmentUnreadable takes segments away from an open spool: they are
// given up after some tries, counted, and the others are delivered.
func TestSpoolSegmentUnreadable(t *testing.T) {
	for name, breakIt := range map[string]func(path string) error{
		"deleted": os.Remove,
		"unreadable": func(path string) error { // for root too
			if err := os.Rename(path, path+".away"); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpenSpool(t, dir, 64<<10) // segments of 8 KiB
			mustAppend(t, s, 0, 200)
			paths := segmentFiles(t, dir)
			last := len(paths) - 1 // is appended to
			for _, i := range []int{1, last} {
				if err := breakIt(paths[i]); err != nil {
					t.Fatal(err)
				}
			}
			got, failures := drainTrying(t, s)
			losses := s.lossesSoFar()
			if losses.damaged != 2 || losses.lost == 0 || int64(len(got))+losses.lost != 200 {
				t.Errorf("%d read, %+v", len(got), losses)
			}
			if failures < 2*(readTries-1) {
				t.Errorf("given up after %d failures", failures)
			}
			if n, bytes := s.pending(); n != 0 || bytes != 0 {
				t.Errorf("after draining: %d records, %d bytes", n, bytes)
			}
			mustAppend(t, s, 200, 220)
			checkRecords(t, drain(t, s, 50), 200, 220)
			_, err := os.Stat(paths[1] + damagedSuffix)
			if aside := err == nil; aside != (name == "unreadable") {
				t.Errorf("set aside: %v", err)
			}
		})
	}
}

// TestSpoolOpensWithoutABadSegment: the start does not fail for one.
func TestSpoolOpensWithoutABadSegment(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 64<<10) // segments of 8 KiB
	mustAppend(t, s, 0, 200)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	paths := segmentFiles(t, dir)
	if err := os.Rename(paths[1], filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(paths[1], 0o700); err != nil { // cannot be read, by root either
		t.Fatal(err)
	}
	if err := os.Remove(paths[2]); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", paths[2]); err != nil {
		t.Fatal(err)
	}
	s = mustOpenSpool(t, dir, 64<<10)
	if got := s.lossesSoFar().damaged; got != 2 {
		t.Errorf("%d segments counted as damaged, want 2", got)
	}
	for _, path := range paths[1:3] {
		if _, err := os.Lstat(path + damagedSuffix); err != nil {
			t.Error(err)
		}
	}
	n, _ := s.pending()
	mustAppend(t, s, 200, 201)
	if got := drain(t, s, 50); int64(len(got)) != n+1 || !strings.Contains(string(got[len(got)-1].value), `"n":200,`) {
		t.Errorf("%d records are delivered of %d", len(got), n+1)
	}
}

// TestSpoolOutOfFiles: that the process has no descriptor left is no reason to
// give a segment up.
func TestSpoolOutOfFiles(t *testing.T) {
	if !outOfResources(&fs.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}) || outOfResources(syscall.EIO) {
		t.Error("errors are taken for others")
	}
}
