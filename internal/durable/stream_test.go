package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func begin(t *testing.T, path, content string) *File {
	t.Helper()
	f, err := Begin(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	return f
}

// besideOnly makes a File as where there are no files without names.
func besideOnly(t *testing.T, path, content string) *File {
	t.Helper()
	file, err := os.CreateTemp(filepath.Dir(path), besidePrefix(path)+"*")
	if err != nil {
		t.Fatal(err)
	}
	f := &File{file: file, path: path, beside: file.Name()}
	if _, err := io.WriteString(f, content); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFile(t *testing.T) {
	for name, make := range map[string]func(*testing.T, string, string) *File{"without a name": begin, "beside": besideOnly} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a")
			if err := make(t, path, "no").Discard(); err != nil || len(namesIn(t, dir)) != 0 {
				t.Errorf("discarded: %v, %v", err, namesIn(t, dir))
			}
			one, two := make(t, path, "one"), make(t, path, "two")
			if err := one.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := two.Commit(); !errors.Is(err, fs.ErrExist) {
				t.Errorf("replaced another's: %v", err)
			}
			if names := namesIn(t, dir); len(names) != 1 || names[0] != "a" {
				t.Errorf("there is %v", names)
			}
			content, err := os.ReadFile(path)
			if err != nil || string(content) != "one" {
				t.Errorf("%q, %v", content, err)
			}
			if info, err := os.Stat(path); err != nil || Private(path, info.Mode()) != nil {
				t.Errorf("others may read it: %v", err)
			}
			if _, err := Begin(path); !errors.Is(err, fs.ErrExist) {
				t.Errorf("begun where there is one: %v", err)
			}
		})
	}
}

func TestFileHasNoNameBeforeItIsWhole(t *testing.T) {
	dir := t.TempDir()
	f := begin(t, filepath.Join(dir, "a"), "one")
	if f.beside != "" {
		t.Skip("this file system has no files without names")
	}
	scratch, err := Scratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	if names := namesIn(t, dir); len(names) != 0 {
		t.Errorf("there is %v", names)
	}
	if err := errors.Join(f.Discard(), scratch.Close()); err != nil {
		t.Error(err)
	}
}
