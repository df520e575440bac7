package clickhttp

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/agentaudit/agentaudit/internal/engine/libchdb"
)

// Server is the interface. It is safe for concurrent use.
type Server struct {
	cfg      Config
	log      *slog.Logger
	account  account
	pool     *pool
	sessions *sessions
	buffers  *buffers
	identity identity
	// sources are the table functions that reach out of the engine.
	sources map[string]bool

	mu      sync.Mutex
	running map[string]bool // query ids
	closed  bool
	active  sync.WaitGroup // handlers; Add under mu, while not closed
}

// New starts the engine (by its first connection) and asks it who it is.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p, err := newPool(&cfg, deps)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: deps.Log, account: newAccount(cfg.User, cfg.Password), pool: p,
		sessions: newSessions(cfg.MaxSessions), buffers: newBuffers(cfg.MaxBufferedBytes), running: map[string]bool{}}
	if err := s.introduce(); err != nil {
		p.close()
		return nil, err
	}
	return s, nil
}

// introduce reads what is asked of the engine once.
func (s *Server) introduce() error {
	s.pool.adminMu.Lock()
	defer s.pool.adminMu.Unlock()
	line, err := queryText(s.pool.admin, "SELECT displayName(), version(), timezone()")
	if err != nil {
		return fmt.Errorf("ask the engine for its version: %w", err)
	}
	fields := strings.Split(line, "\t")
	if len(fields) != 3 {
		return fmt.Errorf("ask the engine for its version: %d fields instead of 3", len(fields))
	}
	s.identity = identity{displayName: fields[0], version: fields[1], timezone: fields[2]}
	if s.sources, err = readSources(s.pool.admin); err != nil {
		return fmt.Errorf("ask the engine for its table functions: %w", err)
	}
	return nil
}

func queryText(c *libchdb.Conn, sql string) (string, error) {
	res, err := c.Query(sql, "TSVRaw")
	if err != nil {
		return "", err
	}
	defer res.Free()
	return strings.TrimSuffix(string(res.Bytes()), "\n"), nil
}

// Version is the engine's, as ClickHouse's version() gives it.
func (s *Server) Version() string { return s.identity.version }

// Close refuses further requests, waits for those that run, and then ends sessions and connections
// and with the last of them the engine, which writes out what it holds. Shut the http.Server down
// first: it is what makes requests end.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.active.Wait()
	s.sessions.close()
	s.pool.close()
}

// enter counts a request in, unless the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.active.Add(1)
	return true
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		http.Error(w, "The server is closed.", http.StatusServiceUnavailable)
		return
	}
	defer s.active.Done()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p)
		default:
			// The value may quote a request, the stack does not.
			s.log.Error("a request panicked", slog.String("stack", string(debug.Stack())))
			panic(http.ErrAbortHandler)
		}
	}()
	h := w.Header()
	h.Set("X-ClickHouse-Server-Display-Name", s.identity.displayName)
	switch r.URL.Path {
	case "/ping", "/replicas_status":
		writeOK(w)
		return
	case "/":
	default:
		http.Error(w, "There is no handle "+r.URL.Path+"\n\nUse / or /ping for health checks.\nOr /replicas_status for more sophisticated health checks.\nSend queries from your program with POST method or GET /?query=...", http.StatusNotFound)
		return
	}
	query := r.URL.Query()
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead:
		if !query.Has("query") {
			writeOK(w)
			return
		}
	default:
		http.Error(w, "Only GET, HEAD and POST are served.", http.StatusMethodNotAllowed)
		return
	}
	if err := s.account.authenticate(r, query); err != nil {
		writeError(w, err)
		return
	}
	q, err := s.readRequest(r, query)
	if err != nil {
		writeError(w, err)
		return
	}
	h.Set("X-ClickHouse-Query-Id", q.queryID)
	h.Set("X-ClickHouse-Timezone", s.identity.timezone)
	if err := s.serve(w, r, q); err != nil {
		writeError(w, err)
	}
}

// serve runs one statement. An error means that nothing was answered yet.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, q *request) error {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return exception(codeNotImplemented, "NOT_IMPLEMENTED", "External tables are not available in the embedded engine")
	}
	wire := &bodyReader{body: r.Body, control: http.NewResponseController(w), pause: s.cfg.ReceiveTimeout}
	defer func() {
		if !wire.ended {
			// Only an error leaves a body unread. The http server would wait for its rest before it
			// answers.
			w.Header().Set("Connection", "close")
		}
	}()
	text, data, err := s.readStatement(r, wire, q)
	if err != nil {
		return err
	}
	if isHello(text) && strings.EqualFold(q.format, "Native") {
		return s.serveHello(w, r, q)
	}
	if err := s.begin(q.queryID); err != nil {
		return err
	}
	defer s.end(q.queryID)

	ctx := r.Context()
	if err := s.pool.enter(ctx); err != nil {
		return err
	}
	defer s.pool.leave()

	run := &run{s: s, q: q, w: w, r: r, text: text, data: data, wire: wire, st: readStatement(text), started: time.Now()}
	if q.session.id != "" {
		return run.inSession(ctx)
	}
	return run.alone(ctx)
}

// writeOK answers a health check. A client that has gone needs none.
func writeOK(w http.ResponseWriter) { _, _ = io.WriteString(w, "Ok.\n") }

func (s *Server) serveHello(w http.ResponseWriter, r *http.Request, q *request) error {
	block, err := s.identity.hello(q.revision)
	if err != nil {
		return err
	}
	out := s.newAnswer(w, r, q, "Native")
	out.write(block)
	out.end()
	return nil
}

// begin refuses a query id that is running, as ClickHouse does.
func (s *Server) begin(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[id] {
		return exception(codeDuplicateQueryID, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING", "Query with id = %s is already running", id)
	}
	s.running[id] = true
	return nil
}

func (s *Server) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

// readStatement returns the statement's text and what follows it. The text comes from the URL and
// goes on in the body; the body of a statement with data is left to be read.
func (s *Server) readStatement(r *http.Request, wire *bodyReader, q *request) (text []byte, rest io.Reader, err error) {
	body, err := decoded(r, q, wire)
	if err != nil {
		return nil, nil, err
	}
	if q.query != "" {
		if len(q.query) > s.cfg.MaxStatementBytes {
			return nil, nil, s.errTooLong()
		}
		text = append(make([]byte, 0, len(q.query)+1), q.query...)
		if st := readStatement(text); st.hasData && !st.implicit {
			return append(text, '\n'), body, nil
		}
		text = append(text, '\n')
	}
	limit := s.cfg.MaxStatementBytes
	head, err := io.ReadAll(io.LimitReader(body, int64(limit-len(text)+1)))
	if err != nil {
		return nil, nil, err
	}
	text = append(text, head...)
	if len(text) > limit {
		if !readStatement(text).hasData {
			return nil, nil, s.errTooLong()
		}
	}
	return text, body, nil
}

func (s *Server) errTooLong() error {
	return exception(codeQueryIsTooLarge, "QUERY_IS_TOO_LARGE", "A statement may be %d bytes long", s.cfg.MaxStatementBytes)
}
