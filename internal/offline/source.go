// Package offline checks logs as they are served or exported, with public keys alone: no database, no vault, no Kafka. It imports none of them, so that
// auditors can build and read a program of a few hundred lines.
package offline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/agentaudit/agentaudit/pkg/chain"
)

// Source is where a log is read: paths are those of C2SP tlog-tiles below the log. What is not there is fs.ErrNotExist. It is safe for concurrent use.
type Source interface {
	// Read returns the content of a file. It stands in buf if that has room for it, so that files of one size are read without new memory.
	Read(ctx context.Context, path string, buf []byte) ([]byte, error)
}

// maxFileBytes bounds one file: a bundle of 256 entries of 64 KiB and their lengths.
const maxFileBytes = chain.TileWidth * (1<<16 + 1)

var errTooLarge = fmt.Errorf("larger than %d bytes", maxFileBytes)

// Folder is an exported folder: `<topic>/<partition>/checkpoint`, `…/tile/…`. Nothing outside of it is read, whatever links it has.
type Folder struct{ root *os.Root }

// OpenFolder opens a folder that `log export` has made.
func OpenFolder(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open the exported folder: %w", err)
	}
	return &Folder{root}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Logs returns the logs that have a checkpoint, by name.
func (f *Folder) Logs() ([]string, error) {
	paths, err := fs.Glob(f.root.FS(), "*/*/checkpoint")
	if err != nil {
		return nil, err
	}
	var logs []string
	for _, path := range paths {
		log, _, err := chain.CutLogPath(path)
		if err == nil {
			logs = append(logs, log)
		}
	}
	slices.Sort(logs)
	return logs, nil
}

// Log returns one log of the folder.
func (f *Folder) Log(log string) Source { return folderLog{f.root, log} }

type folderLog struct {
	root *os.Root
	log  string
}

// Read implements Source.
func (f folderLog) Read(_ context.Context, path string, buf []byte) ([]byte, error) {
	// Without waiting: whoever made the folder could have put a pipe there, which nobody ever writes to.
	file, err := f.root.OpenFile(filepath.Join(filepath.FromSlash(f.log), filepath.FromSlash(path)), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no file", path))
	}
	return readAll(file, buf)
}

// readAll reads to the end, into buf while there is room.
func readAll(from io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, max(len(buf), minReadBytes))
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > maxFileBytes:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

// minReadBytes is what is read first where nothing is known about a size: a full tile and more.
const minReadBytes = 16 << 10

// Server is where an exporter serves logs.
type Server struct {
	base   *url.URL
	client *http.Client
}

// requestTimeout bounds the reading of one file.
const requestTimeout = time.Minute

// NewServer returns the logs below an address such as https://audit.example.org/log/.
func NewServer(address string) (*Server, error) {
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, errors.New("not an address of logs: https://host/log/ expected")
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	return &Server{base: base, client: &http.Client{Timeout: requestTimeout}}, nil
}

// Close gives up idle connections.
func (s *Server) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Log returns one log of the server.
func (s *Server) Log(log string) Source { return serverLog{s, log} }

type serverLog struct {
	server *Server
	log    string
}

// Read implements Source.
func (s serverLog) Read(ctx context.Context, path string, buf []byte) ([]byte, error) {
	at := s.server.base.JoinPath(s.log, path).String()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.server.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return readAll(response.Body, buf)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	}
	return nil, fmt.Errorf("%s: %s", at, response.Status)
}
