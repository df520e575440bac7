//go:build !linux

package broker

import "time"

// birth is when a file was made, if the file system knows.
func birth(string) (time.Time, bool) { return time.Time{}, false }
