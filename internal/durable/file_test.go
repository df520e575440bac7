package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/agentaudit/agentaudit/internal/durable"
)

// names lists a folder.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}

// has checks a file's content, its mode, and that it is alone in its folder.
func has(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("the file holds %q (%v), want %q", got, err, content)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if all := names(t, filepath.Dir(path)); !slices.Equal(all, []string{filepath.Base(path)}) {
		t.Errorf("the folder holds %q", all)
	}
}

func TestCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.Create(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := durable.Create(path, []byte("second")); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("over another file: %v", err)
	}
	has(t, path, "first")
}

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for _, content := range []string{"first", "the second, a longer one", ""} {
		if err := durable.Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		has(t, path, content)
	}
}

// What a process that was killed while it wrote left behind does not stay, and files of similar names do.
func TestLeftFilesGo(t *testing.T) {
	f := func(name string, write func(string, []byte) error) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, other := range []string{".key.new-1", ".key.new-22", ".key2.new-1", "key.new", ".key"} {
				if err := os.WriteFile(filepath.Join(dir, other), []byte("secret"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := write(filepath.Join(dir, "key"), []byte("new")); err != nil {
				t.Fatal(err)
			}
			if got, want := names(t, dir), []string{".key", ".key2.new-1", "key", "key.new"}; !slices.Equal(got, want) {
				t.Errorf("the folder holds %q, want %q", got, want)
			}
		})
	}
	f("create", durable.Create)
	f("replace", durable.Replace)
}

// A write that fails leaves what was there, and nothing else.
func TestFailuresLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	obstacle := filepath.Join(dir, "key") // a folder cannot be replaced by a file
	if err := os.MkdirAll(filepath.Join(obstacle, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(obstacle, []byte("x")); err == nil {
		t.Error("a folder was replaced")
	}
	if err := durable.Create(obstacle, []byte("x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a folder: %v", err)
	}
	if all := names(t, dir); !slices.Equal(all, []string{"key"}) {
		t.Errorf("the folder holds %q", all)
	}
	for _, write := range []func(string, []byte) error{durable.Create, durable.Replace} {
		if err := write(filepath.Join(dir, "missing", "key"), []byte("x")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("in a folder that is not there: %v", err)
		}
	}
}

// Whoever reads while another writes sees a whole file.
func TestReadersSeeWholeFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	contents := [][]byte{bytes.Repeat([]byte("a"), 100_000), bytes.Repeat([]byte("b"), 50_000)}
	if err := durable.Create(path, contents[0]); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() { // ends with the writes below
		for {
			select {
			case <-done:
				return
			default:
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
				t.Errorf("read %d bytes, %v", len(got), err)
				return
			}
		}
	})
	for i := range 50 {
		if err := durable.Replace(path, contents[(i+1)%2]); err != nil {
			t.Error(err)
		}
	}
	close(done)
	reader.Wait()
}

// Of many that create one file one has its content there, whole.
func TestCreateTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var writers sync.WaitGroup
	won := make(chan byte, 16)
	for i := range cap(won) {
		writers.Go(func() { // ends with its write
			content := byte('a' + i)
			if durable.Create(path, bytes.Repeat([]byte{content}, 1000)) == nil {
				won <- content
			}
		})
	}
	writers.Wait()
	close(won)
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for content := range won {
		if !bytes.Equal(got, bytes.Repeat([]byte{content}, 1000)) {
			t.Errorf("it holds %q… although the creation of %c succeeded", got[:min(len(got), 10)], content)
		}
	}
	if len(got) != 1000 || len(slices.Compact(slices.Clone(got))) != 1 {
		t.Errorf("it holds %d bytes, mixed", len(got))
	}
}
