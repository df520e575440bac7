package clickhttp

import (
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// decoded undoes Content-Encoding and then ClickHouse's own frames.
func decoded(r *http.Request, q *request, body io.Reader) (io.Reader, error) {
	switch strings.ToLower(r.Header.Get("Content-Encoding")) {
	case "", "identity":
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, undecodable(err)
		}
		body = &strictReader{z}
	case "deflate":
		z, err := zlib.NewReader(body)
		if err != nil {
			return nil, undecodable(err)
		}
		body = &strictReader{z}
	case "br":
		body = &strictReader{brotli.NewReader(body)}
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, undecodable(err)
		}
		body = &strictReader{z}
	default:
		return nil, exception(codeNotImplemented, "NOT_IMPLEMENTED", "Content-Encoding must be gzip, deflate, br or zstd")
	}
	if q.decompress {
		body = &frameReader{compress.NewReader(body)}
	}
	return body, nil
}

// strictReader turns every error but the true end into an exception, so that a truncated body is
// never taken for a short one.
type strictReader struct{ r io.Reader }

func (s *strictReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, undecodable(err)
}

// frameReader does the same for ch-go, which wraps the end too.
type frameReader struct{ r *compress.Reader }

func (f *frameReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return n, io.EOF
	}
	return n, undecodable(err)
}

func undecodable(err error) error {
	var e *libchdb.Error
	if errors.As(err, &e) {
		return e
	}
	return exception(codeCannotReadAllData, "CANNOT_READ_ALL_DATA", "Cannot decompress the body of the request: it is cut or damaged")
}

// frameMethod is how compress=1 packs an answer.
type frameMethod struct {
	method compress.Method
	level  compress.Level
}

func readFrameMethod(query url.Values) (frameMethod, error) {
	switch m := strings.ToUpper(query.Get("network_compression_method")); m {
	case "", "LZ4", "LZ4HC":
		return frameMethod{method: compress.LZ4}, nil
	case "NONE":
		return frameMethod{method: compress.None}, nil
	case "ZSTD":
		level, err := strconv.Atoi(query.Get("network_zstd_compression_level"))
		if err != nil || level < 1 || level > 15 {
			level = 1
		}
		return frameMethod{compress.ZSTD, compress.Level(level)}, nil
	default:
		return frameMethod{}, exception(codeBadArguments, "BAD_ARGUMENTS", "network_compression_method must be LZ4, ZSTD or NONE")
	}
}

// frameBytes is the size of ClickHouse's compression frames.
const frameBytes = 1 << 20

// frameWriter packs an answer into ClickHouse's frames.
type frameWriter struct {
	w      io.Writer
	frames *compress.Writer
}

func (f *frameWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		part := p[:min(len(p), frameBytes)]
		if err := f.frames.Compress(part); err != nil {
			return written, fmt.Errorf("compress an answer: %w", err)
		}
		if _, err := f.w.Write(f.frames.Data); err != nil {
			return written, err
		}
		written += len(part)
		p = p[len(part):]
	}
	return written, nil
}

// contentEncoder picks the first encoding that the client accepts and this front writes.
func contentEncoder(accept string) (name string, open func(io.Writer) io.WriteCloser) {
	for _, part := range strings.Split(accept, ",") {
		encoding, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		switch strings.ToLower(encoding) {
		case "gzip":
			return "gzip", func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
		case "deflate":
			return "deflate", func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
		case "br":
			return "br", func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, brotli.BestSpeed) }
		}
	}
	return "", nil
}
