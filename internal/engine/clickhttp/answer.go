package clickhttp

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// answer writes the body of a successful response.
type answer struct {
	w      http.ResponseWriter
	out    io.Writer
	encode io.WriteCloser // Content-Encoding, or nil
	frames bool           // ClickHouse's own compression
	begun  bool
	tag    string // marks an exception within the body

	control *http.ResponseController
	pause   time.Duration // how long the client may keep a write waiting
}

func (s *Server) newAnswer(w http.ResponseWriter, r *http.Request, q *request, format string) *answer {
	h := w.Header()
	h.Set("Content-Type", contentType(format))
	h.Set("X-ClickHouse-Format", format)
	a := &answer{w: w, out: w, tag: newTag(), control: http.NewResponseController(w), pause: s.cfg.SendTimeout}
	h.Set("X-ClickHouse-Exception-Tag", a.tag)
	switch {
	case q.compress:
		a.frames = true
		a.out = &frameWriter{w: w, frames: compress.NewWriter(q.frames.level, q.frames.method)}
	case q.httpEncode:
		if name, open := contentEncoder(r.Header.Get("Accept-Encoding")); open != nil {
			h.Set("Content-Encoding", name)
			a.encode = open(w)
			a.out = a.encode
		}
	}
	return a
}

// write sends a part. A client that has gone ends the request.
func (a *answer) write(p []byte) {
	if len(p) == 0 {
		return
	}
	a.begun = true
	for part := range slices.Chunk(p, partBytes) {
		if a.control.SetWriteDeadline(time.Now().Add(a.pause)) != nil {
			panic(http.ErrAbortHandler)
		}
		if _, err := a.out.Write(part); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// partBytes is what a client must take within SendTimeout.
const partBytes = 1 << 20

// end completes a body. An empty one gets a length, which clickhouse-go tells apart by.
func (a *answer) end() {
	if !a.begun {
		a.w.Header().Del("Content-Encoding")
		a.w.Header().Set("Content-Length", "0")
		return
	}
	if a.encode != nil {
		if err := a.encode.Close(); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// fail marks an exception in a body that has begun and cuts the connection, so that no client
// takes the part for the whole.
func (a *answer) fail(err error) {
	message := asException(err).Message
	block := fmt.Sprintf("\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", a.tag, message, len(message)+1, a.tag)
	out := a.out
	if a.frames {
		out = a.w // clients look for the mark in the bytes of the wire
	}
	if _, err := io.WriteString(out, block); err == nil && a.encode != nil {
		a.encode.Close() // fails only if the client is gone
	}
	_ = a.control.Flush()
	panic(http.ErrAbortHandler)
}

func newTag() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}

func setSummary(h http.Header, st libchdb.Stats) {
	h.Set("X-ClickHouse-Summary", fmt.Sprintf(
		`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"%d","result_bytes":"%d","elapsed_ns":"%s"}`,
		st.ReadRows, st.ReadBytes, st.WrittenRows, st.WrittenBytes, st.ResultRows, st.ResultBytes,
		strconv.FormatInt(int64(st.ElapsedSeconds*1e9), 10)))
}

// contentType follows ClickHouse.
func contentType(format string) string {
	f := strings.ToLower(format)
	switch {
	case strings.HasPrefix(f, "json") && strings.HasSuffix(f, "eachrow"), f == "ndjson", f == "jsonlines":
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(f, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(f, "csv"):
		return "text/csv; charset=UTF-8; header=" + presence(strings.Contains(f, "withnames"))
	case strings.HasPrefix(f, "tabseparated"), strings.HasPrefix(f, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case f == "xml":
		return "application/xml; charset=UTF-8"
	case strings.HasPrefix(f, "pretty"), f == "vertical", f == "markdown", f == "values", f == "sqlinsert", f == "lineasstring":
		return "text/plain; charset=UTF-8"
	}
	return "application/octet-stream"
}

func presence(yes bool) string {
	if yes {
		return "present"
	}
	return "absent"
}
