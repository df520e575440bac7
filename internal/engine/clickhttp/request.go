package clickhttp

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// request is what a client asked for, apart from the text.
type request struct {
	query       string // of the URL
	queryID     string
	settings    settings
	params      []libchdb.Param
	format      string // by default; a FORMAT clause wins
	revision    int    // client_protocol_version
	session     sessionRequest
	compress    bool // the answer in ClickHouse's own frames
	decompress  bool // the body likewise
	frames      frameMethod
	httpEncode  bool // Accept-Encoding counts
	wholeAnswer bool // wait_end_of_query
	// maxExecution is the client's max_execution_time; 0 is none. It also bounds the time in which
	// the body of an INSERT arrives.
	maxExecution time.Duration
}

type sessionRequest struct {
	id      string
	timeout time.Duration
	check   bool
	close   bool
}

const defaultSessionTimeout = 60 * time.Second

// notSettings are the URL parameters that concern this front and not the engine.
var notSettings = map[string]bool{
	"query": true, "query_id": true, "user": true, "password": true, "quota_key": true, "role": true,
	"database": true, "default_format": true, "client_protocol_version": true,
	"session_id": true, "session_timeout": true, "session_check": true, "close_session": true,
	"compress": true, "decompress": true, "network_compression_method": true, "network_zstd_compression_level": true,
	"enable_http_compression": true, "http_zlib_compression_level": true,
	"wait_end_of_query": true, "buffer_size": true, "stacktrace": true, "readonly": true,
	tagSetting: true,
}

func (s *Server) readRequest(r *http.Request, query url.Values) (*request, error) {
	q := &request{
		query: query.Get("query"), queryID: query.Get("query_id"), format: query.Get("default_format"),
		compress: query.Get("compress") == "1", decompress: query.Get("decompress") == "1",
		httpEncode:  settingTrue(query.Get("enable_http_compression")),
		wholeAnswer: settingTrue(query.Get("wait_end_of_query")),
	}
	if q.queryID == "" {
		q.queryID = uuid.NewString()
	}
	if h := r.Header.Get("X-ClickHouse-Format"); h != "" && q.format == "" {
		q.format = h
	}
	if q.format == "" {
		q.format = "TabSeparated"
	}
	q.revision, _ = strconv.Atoi(query.Get("client_protocol_version")) // anything else means 0, the oldest
	if query.Has("role") {
		return nil, exception(codeUnknownRole, "UNKNOWN_ROLE", "There are no roles in the embedded engine")
	}
	var err error
	if q.frames, err = readFrameMethod(query); err != nil {
		return nil, err
	}
	if err := s.readSession(q, query); err != nil {
		return nil, err
	}
	if err := q.readSettings(r, query); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *request) readSettings(r *http.Request, query url.Values) error {
	q.settings = settings{values: map[string]string{}, database: query.Get("database"), readonly: query.Get("readonly")}
	if h := r.Header.Get("X-ClickHouse-Database"); h != "" && q.settings.database == "" {
		q.settings.database = h
	}
	switch q.settings.readonly {
	case "", "0", "1", "2":
	default:
		return exception(codeBadArguments, "BAD_ARGUMENTS", "Setting readonly must be 0, 1 or 2")
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		// As in ClickHouse: what a browser can be made to fetch changes nothing.
		if q.settings.readonly == "" || q.settings.readonly == "0" {
			q.settings.readonly = "2"
		}
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case strings.HasPrefix(name, "param_"):
			q.params = append(q.params, libchdb.Param{Name: name[len("param_"):], Value: value})
		case name == "dialect" && value != "clickhouse":
			return errDialect()
		case !notSettings[name]:
			q.settings.values[name] = value
		}
	}
	if v := q.settings.values["max_execution_time"]; v != "" {
		seconds, err := strconv.ParseFloat(v, 64)
		if err != nil || seconds < 0 || seconds > 1e9 {
			return exception(codeBadArguments, "BAD_ARGUMENTS", "Setting max_execution_time is not a number of seconds")
		}
		q.maxExecution = time.Duration(seconds * float64(time.Second))
	}
	return nil
}

func (s *Server) readSession(q *request, query url.Values) error {
	q.session = sessionRequest{id: query.Get("session_id"), timeout: defaultSessionTimeout,
		check: query.Get("session_check") == "1", close: query.Get("close_session") == "1"}
	if v := query.Get("session_timeout"); v != "" {
		seconds, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return exception(codeInvalidSessionTimeout, "INVALID_SESSION_TIMEOUT", "Invalid session timeout: '%s'", v)
		}
		q.session.timeout = time.Duration(seconds) * time.Second
		if q.session.timeout > s.cfg.MaxSessionTimeout {
			return exception(codeInvalidSessionTimeout, "INVALID_SESSION_TIMEOUT", "Session timeout '%s' is larger than max_session_timeout: %d", v, int(s.cfg.MaxSessionTimeout.Seconds()))
		}
	}
	return nil
}

func settingTrue(v string) bool { return v == "1" || strings.EqualFold(v, "true") }

func errDialect() error {
	return exception(codeNotImplemented, "NOT_IMPLEMENTED", "The embedded engine takes the dialect clickhouse only")
}
