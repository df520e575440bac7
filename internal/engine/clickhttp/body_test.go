package clickhttp

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func bodyServer(maxBytes int64) *Server {
	return &Server{cfg: Config{WaitTimeout: 10 * time.Millisecond}, buffers: newBuffers(maxBytes)}
}

func TestReadBody(t *testing.T) {
	s := bodyServer(8 * chunkBytes)
	f := func(n int, limit int64, code int) {
		t.Helper()
		want := bytes.Repeat([]byte("0123456789abcde\n"), n/16+1)[:n]
		b, err := s.readBody(context.Background(), iotest.HalfReader(bytes.NewReader(want)), limit)
		if code != 0 {
			if err == nil || asException(err).Code != code {
				t.Errorf("%d bytes: %v, want code %d", n, err, code)
			}
			return
		}
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
			return
		}
		var got bytes.Buffer
		b.each(func(p []byte) bool { got.Write(p); return true })
		b.free()
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes came back as %d", n, got.Len())
		}
	}
	f(0, chunkBytes, 0)
	f(1, chunkBytes, 0)
	f(chunkBytes, chunkBytes, 0)
	f(chunkBytes+1, chunkBytes, codeQueryIsTooLarge)
	f(3*chunkBytes-1, 4*chunkBytes, 0)
	f(3*chunkBytes, 4*chunkBytes, 0)
	f(20*chunkBytes, 100*chunkBytes, codeMemoryLimitExceeded)
	if len(s.buffers.space) != 0 {
		t.Errorf("%d chunks are not given back", len(s.buffers.space))
	}
}

// An error of the reader, also one that looks like the end of a short body, is never a whole body.
func TestReadBodyFails(t *testing.T) {
	s := bodyServer(8 * chunkBytes)
	cut := exception(codeCannotReadAllData, "CANNOT_READ_ALL_DATA", "cut")
	for _, r := range []io.Reader{
		iotest.ErrReader(cut),
		io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(cut)),
		&strictReader{io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(io.ErrUnexpectedEOF))},
	} {
		if _, err := s.readBody(context.Background(), r, chunkBytes); err == nil || asException(err).Code != codeCannotReadAllData {
			t.Errorf("error: %v", err)
		}
	}
	if len(s.buffers.space) != 0 {
		t.Errorf("%d chunks are not given back", len(s.buffers.space))
	}
}
