// Package durable writes files so that neither a crash nor a power loss leaves a part of one.
//
// The content goes to a file beside, is forced to the disk, and gets the name after that; then the folder is forced to the disk
// too. Whoever reads sees a whole file or none. What a killed process left beside is removed by the next one that writes the same
// file, because it may hold keys. Two that write one file at a time end with the content of one of them; the other may fail.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrExposed: others than its owner may access a file that holds a secret.
var ErrExposed = errors.New("others may access it; run chmod 600 on it")

// Private returns ErrExposed, with the file's name, unless it is a regular file that its owner alone may access.
func Private(path string, mode fs.FileMode) error {
	if !mode.IsRegular() {
		return fmt.Errorf("%s has mode %v: a regular file is expected", path, mode)
	}
	if mode.Perm()&0o077 != 0 {
		return fmt.Errorf("%s has mode %v: %w", path, mode, ErrExposed)
	}
	return nil
}

// Create stores content in a file that must not exist (fs.ErrExist) and that its owner alone may access. On return it is durable; after an
// error there is no file or a complete one.
func Create(path string, content []byte) error {
	// Looked at before anything is written: this is the usual case of a second start.
	if _, err := os.Lstat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	beside, err := writeBeside(path, content)
	if err != nil {
		return err
	}
	// A link, unlike a rename, never replaces a file.
	err = os.Link(beside, path)
	if errors.Is(err, fs.ErrExist) {
		err = &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	removed := os.Remove(beside)
	if errors.Is(removed, fs.ErrNotExist) {
		removed = nil // another one that creates the file took it for left
	}
	if err := errors.Join(err, removed); err != nil {
		return err
	}
	return Sync(filepath.Dir(path))
}

// Replace stores content in place of a file's, or in a new file, that its owner alone may access. On return it is durable; after an error
// the file has the old content or the new.
func Replace(path string, content []byte) error {
	beside, err := writeBeside(path, content)
	if err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		return errors.Join(err, os.Remove(beside))
	}
	return Sync(filepath.Dir(path))
}

// Sync forces a file's content, or a folder's names, to the disk.
func Sync(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// writeBeside forces content to the disk in a file of path's folder, mode 0600, of which nobody knows the name.
func writeBeside(path string, content []byte) (string, error) {
	dir, prefix := filepath.Dir(path), besidePrefix(path)
	if err := removeLeft(dir, prefix); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, prefix+"*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// besidePrefix is how the names begin of files that are to become path.
func besidePrefix(path string) string { return "." + filepath.Base(path) + ".new-" }

// removeLeft removes what killed processes left in dir.
func removeLeft(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what a killed process left: %w", err)
		}
	}
	return nil
}
