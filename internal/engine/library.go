package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// library is one published build of libchdb.
type library struct {
	packageName string // of npm
	version     string
	integrity   string // SHA-512 of the package, as npm writes it
	sizeBytes   int64  // of libchdb.so
}

// libraries are the builds that this program was tested with, by GOOS/GOARCH.
var libraries = map[string]library{
	"linux/amd64": {
		packageName: "@chdb/lib-linux-x64-gnu",
		version:     "26.7.3-stable.1",
		integrity:   "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		sizeBytes:   566330096,
	},
}

const libraryFile = "libchdb.so"

// ErrNoLibrary is a library that is not in the cache.
var ErrNoLibrary = errors.New("the ClickHouse library is not in the cache")

// marker is written beside the library after its digest was checked. A start compares sizes only:
// hashing half a gigabyte would take a second.
type marker struct {
	Integrity string `json:"integrity"`
	SizeBytes int64  `json:"size_bytes"`
}

const markerFile = "verified.json"

// CacheDir is where fetched files go: dir, else $AGENTAUDIT_CACHE, else the user's cache folder.
func CacheDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	if dir = os.Getenv("AGENTAUDIT_CACHE"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder: %w: set AGENTAUDIT_CACHE", err)
	}
	return filepath.Join(dir, "agentaudit"), nil
}

// libraryDir is the folder of a build within a cache.
func (l *library) dir(cache string) string {
	return filepath.Join(cache, "chdb", l.version+"-"+runtime.GOOS+"-"+runtime.GOARCH)
}

// hostLibrary returns the build for this machine, or one line that says why there is none.
func hostLibrary() (*library, error) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	l, ok := libraries[platform]
	if !ok {
		return nil, fmt.Errorf("no ClickHouse library is published for %s (only for linux/amd64): use a real ClickHouse server (clickhouse.addresses)", platform)
	}
	if runtime.GOOS == "linux" && !hasGlibc() {
		return nil, errors.New("the ClickHouse library needs glibc and this system has another C library (musl?): use a real ClickHouse server (clickhouse.addresses)")
	}
	return &l, nil
}

// hasGlibc looks for glibc's dynamic loader, which the library names.
func hasGlibc() bool {
	for _, path := range []string{"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// LibraryPath returns the fetched library. cache may be empty: see CacheDir. Errors are one line
// that says what to do.
func LibraryPath(cache string) (string, error) {
	l, err := hostLibrary()
	if err != nil {
		return "", err
	}
	cache, err = CacheDir(cache)
	if err != nil {
		return "", err
	}
	return l.find(cache)
}

func (l *library) find(cache string) (string, error) {
	dir := l.dir(cache)
	path := filepath.Join(dir, libraryFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%w (%s): run `make engine` or `agentaudit engine fetch`", ErrNoLibrary, path)
	}
	if err != nil {
		return "", fmt.Errorf("find the ClickHouse library: %w", err)
	}
	var m marker
	b, err := os.ReadFile(filepath.Join(dir, markerFile))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil || m.Integrity != l.integrity || m.SizeBytes != info.Size() || info.Size() != l.sizeBytes {
		return "", fmt.Errorf("the ClickHouse library %s is not the one that was checked when it was fetched: run `make engine` or `agentaudit engine fetch` to replace it", path)
	}
	return path, nil
}
