package rules

import (
	"fmt"
	"os"
	"path/filepath"
)

// Parse reads a rules file and lays it over the built-in rules. The name stands in errors. The error is of type Mistakes and has all that is wrong, with
// lines. Lists that are to be read from files of their own are refused: see Load.
func Parse(name string, text []byte) (*Set, error) {
	return parse(name, text, func(string) ([]byte, error) {
		return nil, fmt.Errorf("there is no folder to look for files in")
	})
}

// Load reads a rules file, and the lists' files that it names, as Parse does. Relative names are meant from the folder of the rules file.
func Load(path string) (*Set, error) {
	set, _, err := load(path)
	return set, err
}

// load returns also the files that were read, or looked for.
func load(path string) (*Set, []stamp, error) {
	var stamps []stamp
	text, err := readStamped(path, MaxFileBytes, &stamps)
	if err != nil {
		return nil, stamps, Mistakes{{File: path, Reason: err.Error()}}
	}
	set, err := parse(path, text, func(file string) ([]byte, error) {
		return readStamped(within(path, file), maxListFileBytes, &stamps)
	})
	return set, stamps, err
}

// within returns where a file is that a rules file names.
func within(path, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(filepath.Dir(path), file)
}

// readBounded reads a regular file. Others could hang (a pipe) or never end (/dev/zero).
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("%s has %d bytes, at most %d expected", path, info.Size(), most)
	}
	text, err := os.ReadFile(path)
	if err == nil && int64(len(text)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return text, err
}

// readFile reads a list's file by the name that the rules have for it.
type readFile func(name string) ([]byte, error)
