package engine

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// testArchive is an npm package with a small "library".
func testArchive(t *testing.T) (archive []byte, l *library, content []byte) {
	t.Helper()
	content = bytes.Repeat([]byte("not really a library\n"), 10_000)
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for name, b := range map[string][]byte{"package/package.json": []byte("{}"), "package/libchdb.so": content} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(b)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum512(buf.Bytes())
	return buf.Bytes(), &library{packageName: "@test/lib", version: "1.0.0", sizeBytes: int64(len(content)),
		integrity: "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}, content
}

// registry serves an archive; cut makes the first answers end early.
func registry(t *testing.T, archive []byte, cut *int) *httptest.Server {
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/@test/lib/-/lib-1.0.0.tgz" {
			http.NotFound(w, r)
			return
		}
		mu.Lock()
		cutting := *cut > 0
		*cut--
		mu.Unlock()
		if cutting {
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write(archive[:len(archive)/2])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(archive))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestFetch(t *testing.T) {
	archive, l, content := testArchive(t)
	cut := 0
	s := registry(t, archive, &cut)
	cache := t.TempDir()
	f := fetcher{library: l, cache: cache, progress: io.Discard, registry: s.URL}

	if _, err := l.find(cache); !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), "make engine") {
		t.Errorf("before: %v", err)
	}
	path, err := f.fetch(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("unpacked library differs (%v)", err)
	}
	s.Close()
	if _, err := f.fetch(context.Background()); err != nil {
		t.Errorf("a second fetch needs the network: %v", err)
	}
	leftovers, err := filepath.Glob(filepath.Join(cache, "chdb", "*"))
	if err != nil || len(leftovers) != 2 { // the library's folder and the lock
		t.Errorf("in the cache: %q", leftovers)
	}

	// A library that was changed after its check is not used.
	if err := os.WriteFile(path, content[1:], 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := l.find(cache); err == nil || errors.Is(err, ErrNoLibrary) || strings.Contains(err.Error(), "\n") {
		t.Errorf("changed library: %v", err)
	}
}

// A download that breaks off is continued, not begun again.
func TestFetchContinues(t *testing.T) {
	archive, l, _ := testArchive(t)
	cut := 1
	s := registry(t, archive, &cut)
	f := fetcher{library: l, cache: t.TempDir(), progress: io.Discard, registry: s.URL}
	if _, err := f.fetch(context.Background()); err == nil {
		t.Fatal("a cut download succeeded")
	}
	var said strings.Builder
	f.progress = &said
	if _, err := f.fetch(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "going on") {
		t.Errorf("it began again:\n%s", said.String())
	}
}

// Wrong bytes are never unpacked into place, and do not stand in the way of the right ones.
func TestFetchWrongDigest(t *testing.T) {
	archive, l, _ := testArchive(t)
	damaged := bytes.Clone(archive)
	damaged[len(damaged)/2] ^= 1
	cut := 0
	s := registry(t, damaged, &cut)
	f := fetcher{library: l, cache: t.TempDir(), progress: io.Discard, registry: s.URL}
	if _, err := f.fetch(context.Background()); !errors.Is(err, errIntegrity) {
		t.Fatalf("damaged archive: %v", err)
	}
	if _, err := l.find(f.cache); !errors.Is(err, ErrNoLibrary) {
		t.Fatalf("after a damaged archive: %v", err)
	}
	good := registry(t, archive, &cut)
	f.registry = good.URL
	if _, err := f.fetch(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// npm is asked first; if it fails the registry is.
func TestFetchByNPM(t *testing.T) {
	archive, l, _ := testArchive(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "archive"), archive, 0o600); err != nil {
		t.Fatal(err)
	}
	npm := filepath.Join(dir, "npm")
	script := func(body string) {
		if err := os.WriteFile(npm, []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// npm pack --ignore-scripts --silent --pack-destination DIR PACKAGE
	script(`cp "` + dir + `/archive" "$5/lib-1.0.0.tgz"`)
	f := fetcher{library: l, cache: t.TempDir(), progress: io.Discard, registry: "http://127.0.0.1:1", npm: npm}
	if _, err := f.fetch(context.Background()); err != nil {
		t.Fatal(err)
	}

	script("echo no network >&2; exit 1")
	cut := 0
	f = fetcher{library: l, cache: t.TempDir(), progress: io.Discard, registry: registry(t, archive, &cut).URL, npm: npm}
	if _, err := f.fetch(context.Background()); err != nil {
		t.Fatal(err)
	}
	f = fetcher{library: l, cache: t.TempDir(), progress: io.Discard, registry: "http://127.0.0.1:1", npm: npm}
	if _, err := f.fetch(context.Background()); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("both fail: %v", err)
	}
}

// Several processes fetch once. Handles of one process exclude each other like processes do.
func TestFetchTogether(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http/httptest.(*Server).goServe.func1"))
	archive, l, _ := testArchive(t)
	cut := 0
	s := registry(t, archive, &cut)
	cache := t.TempDir()
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			f := fetcher{library: l, cache: cache, progress: io.Discard, registry: s.URL}
			if _, err := f.fetch(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if cut != -1 {
		t.Errorf("the registry was asked %d times", -cut)
	}
	http.DefaultClient.CloseIdleConnections()
}
