package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Fetch makes sure that the library is in the cache and returns its path. cacheDir may be empty:
// see CacheDir. What it does stands on progress, a line at a time. It may be called by several
// processes at once, and again after it was interrupted: the download goes on where it stopped.
func Fetch(ctx context.Context, cacheDir string, progress io.Writer) (string, error) {
	l, err := hostLibrary()
	if err != nil {
		return "", err
	}
	cache, err := CacheDir(cacheDir)
	if err != nil {
		return "", err
	}
	f := fetcher{library: l, cache: cache, progress: progress, registry: publicRegistry, npm: findNPM()}
	return f.fetch(ctx)
}

// fetcher brings one library into one cache.
type fetcher struct {
	library  *library
	cache    string
	progress io.Writer
	registry string // base address, used if there is no npm
	npm      string // path of the npm command, or empty
}

func (f *fetcher) say(format string, args ...any) {
	fmt.Fprintf(f.progress, format+"\n", args...) // progress only: nothing depends on it
}

func (f *fetcher) fetch(ctx context.Context) (string, error) {
	if path, err := f.library.find(f.cache); err == nil {
		return path, nil
	}
	work := filepath.Join(f.cache, "chdb")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	unlock, err := f.lock(ctx, filepath.Join(work, "fetch.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if path, err := f.library.find(f.cache); err == nil {
		return path, nil // another process has just fetched it
	}
	archive, err := f.download(ctx, work)
	if err != nil {
		return "", err
	}
	if err := f.install(ctx, archive); err != nil {
		return "", err
	}
	if err := os.Remove(archive); err != nil {
		return "", fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	return f.library.find(f.cache)
}

// lock waits for other processes that fetch into the same cache.
func (f *fetcher) lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	const every = 200 * time.Millisecond
	for waited := false; ; waited = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil // the lock ends with the handle
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !waited {
			f.say("waiting for another process that fetches the ClickHouse library")
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("wait for another process that fetches the ClickHouse library: %w", ctx.Err())
		case <-time.After(every):
		}
	}
}

// install checks the archive and puts the library in place, all of it or nothing.
func (f *fetcher) install(ctx context.Context, archive string) error {
	f.say("checking and unpacking %s", filepath.Base(archive))
	final := f.library.dir(f.cache)
	tmp, err := os.MkdirTemp(filepath.Dir(final), "unpack-")
	if err != nil {
		return fmt.Errorf("unpack the ClickHouse library: %w", err)
	}
	defer os.RemoveAll(tmp) // gone already if all went well
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("unpack the ClickHouse library: %w", err)
	}
	size, err := unpack(ctx, archive, f.library.integrity, filepath.Join(tmp, libraryFile))
	if errors.Is(err, errIntegrity) {
		// A damaged download would be continued for ever.
		return errors.Join(fmt.Errorf("the downloaded ClickHouse library is damaged or not the expected one: %w: try again", err), os.Remove(archive))
	}
	if err != nil {
		return fmt.Errorf("unpack the ClickHouse library: %w", err)
	}
	if size != f.library.sizeBytes {
		return fmt.Errorf("unpack the ClickHouse library: it has %d bytes instead of %d", size, f.library.sizeBytes)
	}
	m, err := json.Marshal(marker{Integrity: f.library.integrity, SizeBytes: size})
	if err != nil {
		return fmt.Errorf("unpack the ClickHouse library: %w", err)
	}
	if _, err := writeSynced(filepath.Join(tmp, markerFile), 0o644, bytes.NewReader(append(m, '\n'))); err != nil {
		return fmt.Errorf("unpack the ClickHouse library: %w", err)
	}
	// Whatever stands there is not a checked library, or fetch had ended before.
	if err := os.RemoveAll(final); err != nil {
		return fmt.Errorf("replace a damaged ClickHouse library: %w", err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return fmt.Errorf("unpack the ClickHouse library: %w", err)
	}
	f.say("ClickHouse library %s is in %s", f.library.version, final)
	return nil
}
