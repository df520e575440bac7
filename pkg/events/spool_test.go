package events

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func testKey(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func mustOpenSpool(t testing.TB, dir string, maxBytes int64, keys ...[]byte) *spool {
	t.Helper()
	if len(keys) == 0 {
		keys = [][]byte{testKey(1)}
	}
	s, err := openSpool(dir, maxBytes, keys, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.close() })
	return s
}

func record(i int) spoolRecord {
	return spoolRecord{
		timeMillis: int64(1_700_000_000_000 + i),
		key:        fmt.Appendf(nil, "acme/user-%d", i%7),
		value:      fmt.Appendf(nil, `{"n":%d,"text":"a secret sentence of %d"}`, i, i),
	}
}

func mustAppend(t testing.TB, s *spool, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := s.append(record(i)); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
}

// drain reads all that is there in steps of n, and commits it.
func drain(t testing.TB, s *spool, n int) []spoolRecord {
	t.Helper()
	var all []spoolRecord
	for {
		got, err := s.read(n, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return all
		}
		if err := s.commit(len(got)); err != nil {
			t.Fatal(err)
		}
		all = append(all, got...)
	}
}

func checkRecords(t testing.TB, got []spoolRecord, from, to int) {
	t.Helper()
	if len(got) != to-from {
		t.Fatalf("got %d records, want %d", len(got), to-from)
	}
	for i, rec := range got {
		want := record(from + i)
		if rec.timeMillis != want.timeMillis || !bytes.Equal(rec.key, want.key) || !bytes.Equal(rec.value, want.value) {
			t.Fatalf("record %d is %s %s, want %s %s", i, rec.key, rec.value, want.key, want.value)
		}
	}
}

func segmentFiles(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return paths
}

func TestSpoolKeepsOrderOverSegmentsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 64<<10) // segments of 8 KiB
	mustAppend(t, s, 0, 100)
	got, err := s.read(30, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	checkRecords(t, got, 0, 30)
	if err := s.commit(30); err != nil {
		t.Fatal(err)
	}
	// Read, but not committed: the next process has it again.
	if _, err := s.read(10, 1<<20); err != nil {
		t.Fatal(err)
	}
	if n := len(segmentFiles(t, dir)); n < 2 {
		t.Fatalf("%d segments, want several", n)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}

	s = mustOpenSpool(t, dir, 64<<10)
	if n, _ := s.pending(); n != 70 {
		t.Fatalf("%d records pending, want 70", n)
	}
	mustAppend(t, s, 100, 150)
	checkRecords(t, drain(t, s, 7), 30, 150)
	if n, bytes := s.pending(); n != 0 || bytes != 0 {
		t.Errorf("after draining: %d records, %d bytes", n, bytes)
	}
	if left := segmentFiles(t, dir); len(left) != 0 {
		t.Errorf("segments are left: %v", left)
	}
	// And once more from empty.
	mustAppend(t, s, 150, 160)
	checkRecords(t, drain(t, s, 100), 150, 160)
}

// TestSpoolModel runs random operations beside a plain slice, with clean ends
// and with ends that leave what a killed process leaves.
func TestSpoolModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		dir := t.TempDir()
		s := mustOpenSpool(t, dir, 48<<10)
		next, front := 0, 0 // appended so far, committed so far
		for range 400 {
			switch op := rng.IntN(20); {
			case op < 11:
				n := 1 + rng.IntN(5)
				var batch []spoolRecord
				for i := range n {
					batch = append(batch, record(next+i))
				}
				if _, err := s.append(batch...); err == nil {
					next += n
				} else if !errors.Is(err, ErrSpoolFull) {
					t.Fatal(err)
				}
			case op < 16:
				got, err := s.read(1+rng.IntN(40), 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				checkRecords(t, got, front, front+len(got))
				if err := s.commit(len(got)); err != nil {
					t.Fatal(err)
				}
				front += len(got)
			case op < 18:
				if err := s.sync(); err != nil {
					t.Fatal(err)
				}
			default:
				// A kill: everything stays as it is, but for the lock.
				if op == 18 {
					_ = s.lock.Close()
				} else if err := s.close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpenSpool(t, dir, 48<<10)
			}
			if n, _ := s.pending(); n != int64(next-front) {
				t.Fatalf("seed %d: %d pending, want %d", seed, n, next-front)
			}
		}
		checkRecords(t, drain(t, s, 33), front, next)
		_ = s.close()
	}
}

func TestSpoolSkipToLeavesTheRest(t *testing.T) {
	s := mustOpenSpool(t, t.TempDir(), 1<<20)
	var first []spoolRecord
	for i := range 10 {
		first = append(first, record(i))
	}
	end, err := s.append(first...)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 10, 20)
	if err := s.skipTo(end, 10); err != nil {
		t.Fatal(err)
	}
	checkRecords(t, drain(t, s, 3), 10, 20)
}

func TestSpoolIsBounded(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 20<<10)
	n := 0
	for ; ; n++ {
		if _, err := s.append(record(n)); err != nil {
			if !errors.Is(err, ErrSpoolFull) {
				t.Fatal(err)
			}
			break
		}
	}
	var size int64
	for _, path := range segmentFiles(t, dir) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if _, bytes := s.pending(); size > 20<<10 || bytes != size {
		t.Fatalf("files have %d bytes, counted are %d, the limit is %d", size, bytes, 20<<10)
	}
	got, err := s.read(n/2, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.commit(len(got)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.append(record(n)); err != nil {
		t.Fatalf("after half of it was drained: %v", err)
	}
	checkRecords(t, drain(t, s, 50), n/2, n+1)
}

// TestSpoolTornTail cuts a segment at every byte, and appends noise and zeros:
// what was whole is read, nothing else, and the spool goes on.
func TestSpoolTornTail(t *testing.T) {
	source := t.TempDir()
	s := mustOpenSpool(t, source, 1<<20)
	mustAppend(t, s, 0, 4)
	ends := []int64{int64(segmentHeader)}
	for i := range 4 {
		r := record(i)
		ends = append(ends, ends[i]+int64(r.frameBytes()))
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(segmentFiles(t, source)[0])
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(whole)) != ends[4] {
		t.Fatalf("segment has %d bytes, want %d", len(whole), ends[4])
	}

	check := func(content []byte, want int) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000000000000000001.seg"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpenSpool(t, dir, 1<<20)
		defer s.close()
		mustAppend(t, s, want, want+2)
		checkRecords(t, drain(t, s, 3), 0, want+2)
	}
	for cut := range whole {
		want := 0
		for want < 4 && ends[want+1] <= int64(cut) {
			want++
		}
		check(whole[:cut], want)
	}
	check(append(slices.Clone(whole), make([]byte, 100)...), 4)
	check(append(slices.Clone(whole), bytes.Repeat([]byte{0xff}, 100)...), 4)
	// A hole of zeros, as after a power loss in the middle of writing.
	hole := slices.Clone(whole)
	clear(hole[ends[2]+3 : ends[3]])
	check(hole[:ends[3]], 2)
}

// TestSpoolDamage changes bits while the spool is open: that record is lost and
// counted, its segment is kept, all others are read.
func TestSpoolDamage(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 64<<10) // segments of 8 KiB
	mustAppend(t, s, 0, 200)
	paths := segmentFiles(t, dir)
	f, err := os.OpenFile(paths[1], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0x55, 0xaa, 0x55}, int64(segmentHeader)+1000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got := drain(t, s, 9)
	lost := s.lossesSoFar().lost
	if lost != 1 || int64(len(got))+lost != 200 {
		t.Fatalf("%d read and %d lost of 200", len(got), lost)
	}
	if kept, err := os.Stat(paths[1] + damagedSuffix); err != nil || kept.Size() == 0 {
		t.Errorf("the damaged segment was not kept: %v", err)
	}
	if n, bytes := s.pending(); n != 0 || bytes != 0 {
		t.Errorf("after draining: %d records, %d bytes", n, bytes)
	}
	first := record(0)
	if !bytes.Equal(got[0].value, first.value) {
		t.Error("the segment before the damage was not read")
	}
	last := record(199)
	if !bytes.Equal(got[len(got)-1].value, last.value) {
		t.Error("the segments behind the damage were not read")
	}
}

// TestSpoolDamagedHeader: the segment is set aside, not deleted, and the others
// are read.
func TestSpoolDamagedHeader(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 64<<10) // segments of 8 KiB
	mustAppend(t, s, 0, 200)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	path := segmentFiles(t, dir)[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[3] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpenSpool(t, dir, 64<<10)
	if got := drain(t, s, 50); len(got) < 100 || len(got) >= 200 {
		t.Errorf("%d records were read", len(got))
	}
	if kept, err := os.ReadFile(path + damagedSuffix); err != nil || !bytes.Equal(kept, b) {
		t.Errorf("the damaged segment was not kept: %v", err)
	}
	if got := s.lossesSoFar(); got.cutBytes != int64(len(b)) || got.damaged != 1 {
		t.Errorf("%d bytes counted as cut and %d segments as damaged, want %d and 1", got.cutBytes, got.damaged, len(b))
	}
}

// TestSpoolForgery: a frame with a right checksum that the key did not make, or
// in another place than it was made for, is not delivered.
func TestSpoolForgery(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20)
	mustAppend(t, s, 0, 3)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	path := segmentFiles(t, dir)[0]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a := record(0)
	size := a.frameBytes()
	frame0, frame1 := b[segmentHeader:segmentHeader+size], b[segmentHeader+size:segmentHeader+2*size]
	swapped := slices.Concat(b[:segmentHeader], frame1, frame0, b[segmentHeader+2*size:])
	later := slices.Clone(b)
	binary.BigEndian.PutUint64(later[segmentHeader+8:], 1_900_000_000_000) // its time
	binary.BigEndian.PutUint32(later[segmentHeader+4:], frameSum(later[segmentHeader:segmentHeader+size]))
	for name, tc := range map[string]struct {
		content []byte
		good    int // the first record that is delivered, and all behind it
	}{"swapped": {swapped, 2}, "later": {later, 1}} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), tc.content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpenSpool(t, dir, 1<<20)
		got, err := s.read(10, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		checkRecords(t, got, tc.good, 3)
		if lost := s.lossesSoFar().lost; lost != int64(tc.good) {
			t.Errorf("%s: %d lost, want %d", name, lost, tc.good)
		}
		_ = s.close()
	}
}

func TestSpoolKeys(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20, testKey(1))
	mustAppend(t, s, 0, 5)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range segmentFiles(t, dir) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("acme")) {
			t.Fatal("an event can be read in the spool's file")
		}
	}
	if _, err := openSpool(dir, 1<<20, [][]byte{testKey(2)}, quiet()); !errors.Is(err, ErrSpoolKey) {
		t.Fatalf("with another key: %v, want ErrSpoolKey", err)
	}
	// The refused attempt changed nothing and left no lock; an old key opens it.
	s = mustOpenSpool(t, dir, 1<<20, testKey(2), testKey(1))
	mustAppend(t, s, 5, 9)
	checkRecords(t, drain(t, s, 2), 0, 9)
}

func TestSpoolLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20)
	if _, err := openSpool(dir, 1<<20, [][]byte{testKey(1)}, quiet()); !errors.Is(err, ErrSpoolLocked) {
		t.Fatalf("second opening: %v, want ErrSpoolLocked", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	mustOpenSpool(t, dir, 1<<20)
}

// TestSpoolPositionIsOnlyAHint: without it, or with nonsense in it, events are
// read again, none is skipped.
func TestSpoolPositionIsOnlyAHint(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20)
	mustAppend(t, s, 0, 10)
	got, err := s.read(4, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.commit(len(got)); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, spoolPositionName)
	right, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := func(content []byte, from int) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpenSpool(t, dir, 1<<20)
		got, err := s.read(100, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		checkRecords(t, got, from, 10)
		_ = s.close()
	}
	f(right, 4)
	f(nil, 0)
	f(right[:20], 0)
	f(bytes.Repeat([]byte{0}, positionBytes), 0)
	wrong := slices.Clone(right)
	wrong[15]++ // an offset inside a frame, and a wrong checksum
	f(wrong, 0)
}

// TestSpoolDiskFails: a write that fails leaves whole frames, and the spool goes
// on in another segment, so that no nonce is used twice.
func TestSpoolDiskFails(t *testing.T) {
	dir := t.TempDir()
	s := mustOpenSpool(t, dir, 1<<20)
	mustAppend(t, s, 0, 3)
	good := s.active().file
	readOnly, err := os.Open(good.Name())
	if err != nil {
		t.Fatal(err)
	}
	_ = good.Close()
	s.active().file = readOnly
	if _, err := s.append(record(3)); err == nil || errors.Is(err, ErrSpoolFull) {
		t.Fatalf("append to a file that cannot be written: %v", err)
	}
	mustAppend(t, s, 3, 6)
	if n := len(segmentFiles(t, dir)); n != 2 {
		t.Fatalf("%d segments, want 2", n)
	}
	checkRecords(t, drain(t, s, 2), 0, 6)
}

func FuzzSpoolSegment(f *testing.F) {
	header, cipher, err := newSegmentHeader(testKey(1))
	if err != nil {
		f.Fatal(err)
	}
	whole := slices.Clone(header)
	for i := range 3 {
		r := record(i)
		whole = cipher.appendFrame(whole, uint64(i), &r)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add(header)
	f.Add([]byte{})
	f.Add(append(slices.Clone(header), make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "00000000000000000001.seg"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openSpool(dir, 8<<20, [][]byte{testKey(1)}, quiet())
		if errors.Is(err, ErrSpoolKey) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.close()
		before, _ := s.pending()
		mustAppend(t, s, 100, 102)
		got := drain(t, s, 2)
		lost := s.lossesSoFar().lost
		if int64(len(got))+lost != before+2 {
			t.Fatalf("%d read, %d lost, %d were there", len(got), lost, before+2)
		}
		checkRecords(t, got[len(got)-2:], 100, 102)
		// Only frames that this key made, in their places, are delivered.
		next := 0
		for i, rec := range got[:len(got)-2] {
			for want := record(next); next < 3 && !bytes.Equal(rec.value, want.value); want = record(next) {
				next++ // lost
			}
			if next == 3 {
				t.Fatalf("record %d was made up, or stands in another place", i)
			}
			next++
		}
	})
}
