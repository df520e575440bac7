package engine

import (
	"context"
	"io"
)

// Fetch makes sure that the library is in the cache and returns its path.
func Fetch(_ context.Context, cacheDir string, _ io.Writer) (string, error) {
	return LibraryPath(cacheDir)
}
