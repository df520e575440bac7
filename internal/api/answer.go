package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/privacy"
	"github.com/agentaudit/agentaudit/internal/problem"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// answer is what is sent once it was noted.
type answer struct {
	status      int
	contentType string
	body        []byte
	stream      io.ReadCloser // instead of body; closed once it was sent
	fileName    string        // under which a stream is kept
}

func jsonAnswer(status int, body any) (*answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return &answer{status: status, contentType: "application/json", body: append(text, '\n')}, nil
}

// failure is an answer that shows nothing.
type failure struct {
	status     int
	field      string // of what was sent
	detail     string
	retryAfter int // seconds; 0: not said
	cause      error
}

func (f *failure) Error() string { return f.detail }

func refused(status int, detail string) error { return &failure{status: status, detail: detail} }

func wrongField(field, detail string) error {
	return &failure{status: http.StatusBadRequest, field: field, detail: detail}
}

// failureOf is what is said of an error. What was not foreseen is the fault of a system behind us.
func failureOf(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, vault.ErrNotActive):
		return notAuthenticated()
	}
	return &failure{status: http.StatusServiceUnavailable, detail: "this cannot be answered at the moment, try again", retryAfter: 1, cause: err}
}

func (f *failure) write(w http.ResponseWriter) {
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	problem.WriteField(w, f.status, f.field, f.detail)
}

// call is one request, by a key that counts.
type call struct {
	server    *Server
	request   *http.Request
	writer    *http.ResponseController
	rawWriter http.ResponseWriter
	key       vault.APIKey
	role      apikey.Role
	noted     bool
}

func (c *call) context() context.Context { return c.request.Context() }

// note notes what is about to be shown or changed. If that fails nothing may be.
func (c *call) note(use privacy.Use) error {
	if err := privacy.NoteUse(c.context(), c.server.deps.Vault, &c.key, use); err != nil {
		return err
	}
	c.noted = true
	return nil
}

// body reads what was sent, JSON of at most limit bytes.
func (c *call) body(limit int64) ([]byte, error) {
	if given := c.request.Header.Get("Content-Type"); given != "" {
		if kind, _, err := mime.ParseMediaType(given); err != nil || kind != "application/json" {
			return nil, refused(http.StatusUnsupportedMediaType, "application/json expected")
		}
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.rawWriter, c.request.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refused(http.StatusRequestEntityTooLarge, "the body is too large: at most "+strconv.FormatInt(limit, 10)+" bytes")
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.rawWriter.Header().Set("Connection", "close")
		return nil, refused(http.StatusRequestTimeout, "the body did not come in time")
	case err != nil:
		return nil, refused(http.StatusBadRequest, "the body could not be read")
	}
	// Only while the body is read: when it passed later, the server would take the client for gone.
	return text, c.writer.SetReadDeadline(time.Time{})
}

// send writes the answer, and returns its status. Who does not take it in time is cut off.
func (c *call) send(a *answer) int {
	h := c.rawWriter.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if a.stream != nil {
		defer a.stream.Close()
		h.Set("Content-Disposition", `attachment; filename="`+a.fileName+`"`)
	} else {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if c.extendWriting() != nil {
		return http.StatusServiceUnavailable // the connection is gone
	}
	c.rawWriter.WriteHeader(a.status)
	if a.stream != nil {
		if !c.copyTo(c.rawWriter, a.stream) {
			panic(http.ErrAbortHandler) // the client sees that it breaks off
		}
	} else {
		_, _ = c.rawWriter.Write(a.body) // an error means that the client has gone
	}
	// What comes next on this connection has time-outs of its own.
	if c.writer.Flush() == nil {
		_ = c.writer.SetWriteDeadline(time.Time{})
	}
	return a.status
}

// extendWriting gives the client time to take what is written next.
func (c *call) extendWriting() error {
	return c.writer.SetWriteDeadline(time.Now().Add(c.server.cfg.TakenWithin))
}
