package engine

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

var errIntegrity = errors.New("its SHA-512 differs from the pinned one")

// unpack writes the library out of an npm archive to path and returns its size. The digest of the
// whole archive is computed on the way: on an error, the file at path is not to be used.
func unpack(ctx context.Context, archive, integrity, path string) (sizeBytes int64, err error) {
	in, err := os.Open(archive)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	digest := sha512.New()
	hashed := io.TeeReader(&contextReader{ctx, bufio.NewReaderSize(in, 1<<20)}, digest)

	size, unpackErr := unpackTar(hashed, path)
	// Also what follows the last file of the archive counts, and a damaged archive is told by its
	// digest rather than by where the damage shows.
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return 0, err
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(digest.Sum(nil)); got != integrity {
		return 0, errIntegrity
	}
	return size, unpackErr
}

func unpackTar(r io.Reader, to string) (sizeBytes int64, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return 0, err
	}
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("the archive holds no %s", libraryFile)
		}
		if err != nil {
			return 0, err
		}
		if h.Typeflag == tar.TypeReg && path.Base(h.Name) == libraryFile {
			return writeSynced(to, 0o755, t)
		}
	}
}

func writeSynced(to string, mode os.FileMode, r io.Reader) (int64, error) {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	n, err := io.Copy(out, r)
	if err != nil {
		return 0, err
	}
	if err := out.Sync(); err != nil {
		return 0, err
	}
	return n, out.Close()
}

// contextReader ends with its context between two reads.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
