//go:build !unix

package events

import (
	"errors"
	"os"
)

// lockSpool refuses: without flock two processes could drain one spool.
func lockSpool(string) (*os.File, error) {
	return nil, errors.New("the spool needs flock, which this system does not have: run without SpoolDir")
}
