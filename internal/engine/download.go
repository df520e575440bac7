package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// publicRegistry is npm's own. A registry that a user has configured is npm's to know: with the
// npm command installed, npm is asked.
const publicRegistry = "https://registry.npmjs.org"

func findNPM() string {
	p, err := exec.LookPath("npm")
	if err != nil {
		return ""
	}
	return p
}

// archiveName is the name of the package's file in a registry, also of ours in the cache.
func (l *library) archiveName() string {
	return path.Base(l.packageName) + "-" + l.version + ".tgz"
}

// download returns the path of the archive, unchecked.
func (f *fetcher) download(ctx context.Context, work string) (string, error) {
	archive := filepath.Join(work, f.library.archiveName())
	if _, err := os.Stat(archive); err == nil {
		return archive, nil // complete, of an earlier attempt; its digest will tell
	}
	var npmErr error
	if f.npm != "" {
		if npmErr = f.downloadByNPM(ctx, work, archive); npmErr == nil {
			return archive, nil
		}
		if ctx.Err() != nil {
			return "", npmErr
		}
		f.say("%v; trying %s", npmErr, f.registry)
	}
	if err := f.downloadByHTTP(ctx, archive); err != nil {
		return "", errors.Join(err, npmErr)
	}
	return archive, nil
}

// downloadByNPM lets npm use its registry, its proxy and its credentials.
func (f *fetcher) downloadByNPM(ctx context.Context, work, archive string) error {
	f.say("fetching %s@%s with npm (about 180 MB)", f.library.packageName, f.library.version)
	dir, err := os.MkdirTemp(work, "npm-")
	if err != nil {
		return fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, f.npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", dir, f.library.packageName+"@"+f.library.version)
	cmd.Dir = dir // not in a project whose settings would count
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm pack %s: %w: %s", f.library.packageName, err, lastLine(stderr.String()))
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("npm pack %s left %d files instead of one", f.library.packageName, len(files))
	}
	if err := os.Rename(files[0], archive); err != nil {
		return fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	return nil
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// downloadByHTTP continues a part of an earlier attempt.
func (f *fetcher) downloadByHTTP(ctx context.Context, archive string) error {
	part := archive + ".part"
	out, err := os.OpenFile(part, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	address := f.registry + "/" + f.library.packageName + "/-/" + f.library.archiveName()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", address, err)
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	f.say("fetching %s", address)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fetch %s: %w", address, err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusPartialContent:
		f.say("going on at %d MB", have>>20)
	case http.StatusRequestedRangeNotSatisfiable:
		// The part is the whole already, or garbage: the digest tells.
		return os.Rename(part, archive)
	case http.StatusOK:
		have = 0
		if err := rewind(out); err != nil {
			return fmt.Errorf("fetch the ClickHouse library: %w", err)
		}
	default:
		return fmt.Errorf("fetch %s: %s", address, res.Status)
	}
	if _, err := io.Copy(out, &meter{r: res.Body, f: f, done: have, total: have + res.ContentLength}); err != nil {
		return fmt.Errorf("fetch %s: %w: run the command again to go on", address, err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	if err := os.Rename(part, archive); err != nil {
		return fmt.Errorf("fetch the ClickHouse library: %w", err)
	}
	return nil
}

func rewind(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// meter tells how far a download is, every few seconds.
type meter struct {
	r           io.Reader
	f           *fetcher
	done, total int64
	last        time.Time
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.done += int64(n)
	if now := time.Now(); now.Sub(m.last) > 3*time.Second {
		if !m.last.IsZero() {
			m.f.say("%d of %d MB", m.done>>20, m.total>>20)
		}
		m.last = now
	}
	return n, err
}
