package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// File is a large file that is being written. It has no name before Commit, where the file system can do that: then nothing is left of it however the process
// ends. Elsewhere it has one beside, which the next Begin of the same file removes. It belongs to one goroutine.
type File struct {
	file   *os.File
	path   string
	beside string // the name that it has until Commit; empty: none
}

// Begin makes a file that its owner alone may access, to be called path, which must not exist (fs.ErrExist). One of Commit and Discard must follow.
func Begin(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	file, err := openUnnamed(filepath.Dir(path), linkable)
	if err != nil || file != nil {
		return &File{file: file, path: path}, err
	}
	dir, prefix := filepath.Dir(path), besidePrefix(path)
	if err := removeLeft(dir, prefix); err != nil {
		return nil, err
	}
	if file, err = os.CreateTemp(dir, prefix+"*"); err != nil {
		return nil, err
	}
	return &File{file: file, path: path, beside: file.Name()}, nil
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) { return f.file.Write(p) }

// Commit gives the file its name; on return it is durable. After an error there is no such file, unless somebody else made it (fs.ErrExist) or only the folder could
// not be forced to the disk.
func (f *File) Commit() error {
	if err := f.file.Sync(); err != nil {
		return errors.Join(err, f.Discard())
	}
	var err error
	if f.beside == "" {
		err = link(f.file, f.path)
	} else {
		err = os.Link(f.beside, f.path) // unlike a rename it never replaces a file
	}
	if errors.Is(err, fs.ErrExist) {
		err = &fs.PathError{Op: "create", Path: f.path, Err: fs.ErrExist}
	}
	if err := errors.Join(err, f.Discard()); err != nil {
		return err
	}
	return Sync(filepath.Dir(f.path))
}

// Discard ends the writing: what has no name is gone.
func (f *File) Discard() error {
	err := f.file.Close()
	if f.beside == "" {
		return err
	}
	removed := os.Remove(f.beside)
	if errors.Is(removed, fs.ErrNotExist) {
		removed = nil
	}
	return errors.Join(err, removed)
}

// Scratch returns a file in dir to write to and to read again, which nobody finds by a name and which is gone once it is closed or the process has ended.
func Scratch(dir string) (*os.File, error) {
	file, err := openUnnamed(dir, scratch)
	if err != nil || file != nil {
		return file, err
	}
	if file, err = os.CreateTemp(dir, ".scratch.new-*"); err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// purpose is what a file without a name is for.
type purpose int

const (
	linkable purpose = iota // to get a name
	scratch                 // never to get one
)
