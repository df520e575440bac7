//go:build !linux

package durable

import (
	"errors"
	"os"
)

// openUnnamed returns nil: there are no files without names here.
func openUnnamed(string, purpose) (*os.File, error) { return nil, nil }

func link(*os.File, string) error { return errors.ErrUnsupported }
