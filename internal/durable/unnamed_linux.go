package durable

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// openUnnamed makes a file without a name in dir, and returns nil where that, or giving it a name later, cannot be done.
func openUnnamed(dir string, p purpose) (*os.File, error) {
	flags := unix.O_TMPFILE | unix.O_RDWR | unix.O_CLOEXEC
	if p == scratch {
		flags |= unix.O_EXCL
	}
	fd, err := unix.Open(dir, flags, 0o600)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		return nil, nil //nolint:nilnil // what the comment says
	case err != nil:
		return nil, &os.PathError{Op: "make a file in", Path: dir, Err: err}
	}
	file := os.NewFile(uintptr(fd), dir+"/(no name)")
	if _, err := os.Stat(descriptor(file)); err != nil { // /proc is not there
		return nil, file.Close()
	}
	return file, nil
}

func descriptor(file *os.File) string {
	return "/proc/self/fd/" + strconv.Itoa(int(file.Fd()))
}

// link gives a file its first name.
func link(file *os.File, path string) error {
	if err := unix.Linkat(unix.AT_FDCWD, descriptor(file), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: "a file without a name", New: path, Err: err}
	}
	return nil
}
