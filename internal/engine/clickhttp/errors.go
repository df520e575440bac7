package clickhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// Codes of ClickHouse that this package raises itself.
const (
	codeBadArguments          = 36
	codeUnknownFormat         = 73
	codeSyntaxError           = 62
	codeNotImplemented        = 48
	codeTimeoutExceeded       = 159
	codeReadonly              = 164
	codeTooManyQueries        = 202
	codeSocketTimeout         = 209
	codeDuplicateQueryID      = 216
	codeCannotReadAllData     = 33
	codeMemoryLimitExceeded   = 241
	codeOutfileNotAllowed     = 358
	codeSessionNotFound       = 372
	codeSessionIsLocked       = 373
	codeInvalidSessionTimeout = 374
	codeQueryIsTooLarge       = 308
	codeQueryCancelled        = 394
	codeFunctionNotAllowed    = 446
	codeUnknownRole           = 511
	codeAuthenticationFailed  = 516
	codeUnknown               = 1002
)

// exception makes an error that reads like one of ClickHouse's.
func exception(code int, name, format string, args ...any) error {
	return &libchdb.Error{Code: code, Message: fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

// asException gives every error a code and ClickHouse's form.
func asException(err error) *libchdb.Error {
	var e *libchdb.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &libchdb.Error{Code: codeQueryCancelled, Message: fmt.Sprintf("Code: %d. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)", codeQueryCancelled)}
	}
	return &libchdb.Error{Code: codeUnknown, Message: fmt.Sprintf("Code: %d. DB::Exception: %s. (UNKNOWN_EXCEPTION)", codeUnknown, err)}
}

// statuses are the codes that ClickHouse maps to something other than 500.
var statuses = map[int]int{
	6: 400, 12: 400, 26: 400, 27: 400, 38: 400, 41: 400, 42: 400, 43: 400, 44: 400, 53: 400, 62: 400, 69: 400,
	72: 400, 117: 400, 131: 400, 167: 400, 168: 400, 376: 400, 427: 400, codeBadArguments: 400,
	codeCannotReadAllData: 400, codeInvalidSessionTimeout: 400,
	46: 404, 47: 404, 50: 404, 56: 404, 60: 404, 63: 404, 73: 404, 78: 404, 81: 404, 115: 404, 511: 404, codeSessionNotFound: 404,
	codeNotImplemented:  501,
	codeTimeoutExceeded: http.StatusRequestTimeout, codeSocketTimeout: http.StatusServiceUnavailable,
	codeQueryIsTooLarge: http.StatusRequestEntityTooLarge, codeTooManyQueries: http.StatusServiceUnavailable,
	codeSessionIsLocked: http.StatusLocked,
	192:                 403, 193: 403, 194: 401, 497: 403, codeAuthenticationFailed: 403,
}

func status(code int) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// writeError answers with an exception; only before the first byte of an answer.
func writeError(w http.ResponseWriter, err error) {
	e := asException(err)
	h := w.Header()
	h.Del("Content-Encoding")
	h.Del("Content-Length")
	h.Del("X-ClickHouse-Format")
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.Code))
	if e.Code == codeAuthenticationFailed {
		h.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	w.WriteHeader(status(e.Code))
	fmt.Fprintln(w, e.Message) // an error here means that the client is gone
}
