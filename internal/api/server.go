package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agentaudit/agentaudit/internal/apikey"
	"github.com/agentaudit/agentaudit/internal/problem"
	"github.com/agentaudit/agentaudit/internal/store"
	"github.com/agentaudit/agentaudit/internal/vault"
)

// Prefix is the path below which everything is.
const Prefix = "/v1/"

// Config is what a Server is told. DefaultConfig has the defaults.
type Config struct {
	// SessionPolicy is how session ids stand in entries (ingest.fields.session_id).
	SessionPolicy string
	// ExportDir is the folder with the archives of completed exports; empty: there are none here.
	ExportDir string
	// MaxInFlight bounds the requests that are being answered at a time; others are sent away.
	MaxInFlight int
	// BodyWithin is what a client may take to send a body, and TakenWithin to take an answer.
	BodyWithin, TakenWithin time.Duration
	// AnswerWithin bounds the work on an answer.
	AnswerWithin time.Duration
}

// DefaultConfig has values for an exporter of 512 MB.
func DefaultConfig() Config {
	return Config{SessionPolicy: "subject", MaxInFlight: 16, BodyWithin: 10 * time.Second, TakenWithin: time.Minute, AnswerWithin: 30 * time.Second}
}

// Deps are the systems that a Server works with. It closes none of them.
type Deps struct {
	Store   *store.Store
	Vault   *vault.Vault
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Server answers. It is safe for concurrent use.
type Server struct {
	cfg     Config
	deps    Deps
	metrics *metrics
	guard   *guard

	open      atomic.Bool
	inFlight  chan struct{}
	revealing chan struct{} // one answer with contents is made at a time: contents are large
}

// New makes a Server. Until Run it answers nothing.
func New(cfg Config, deps Deps) (*Server, error) {
	if cfg.MaxInFlight < 1 || cfg.BodyWithin <= 0 || cfg.TakenWithin <= 0 || cfg.AnswerWithin <= 0 {
		return nil, errors.New("api: bounds must be above 0")
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	return &Server{
		cfg: cfg, deps: deps, metrics: m, guard: newGuard(deps.Vault, m), inFlight: make(chan struct{}, cfg.MaxInFlight), revealing: make(chan struct{}, 1),
	}, nil
}

// Run has the server answer until ctx ends. It must not be called before the vault was compared with the erasures in the log: a restored one knows people again.
func (s *Server) Run(ctx context.Context) error {
	s.open.Store(true)
	<-ctx.Done()
	s.open.Store(false)
	return nil
}

// endpoint is something that can be asked for.
type endpoint struct {
	name   string // for metrics
	right  apikey.Right
	answer func(c *call) (*answer, error)
}

// Handler answers what is below Prefix.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range s.endpoints() {
		mux.Handle(path, s.byMethod(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusNotFound, "there is nothing here")
	})
	return mux
}

func (s *Server) endpoints() map[string]map[string]endpoint {
	const requests = Prefix + "gdpr/requests"
	return map[string]map[string]endpoint{
		Prefix + "events": {
			http.MethodGet:  {"events", apikey.ReadEvents, s.events},
			http.MethodPost: {"events", apikey.ReadEvents, s.events},
		},
		Prefix + "alerts":            {http.MethodGet: {"alerts", apikey.ReadEvents, s.alerts}},
		Prefix + "proofs/{event_id}": {http.MethodGet: {"proofs", apikey.ReadProofs, s.proofs}},
		Prefix + "consents/check":    {http.MethodPost: {"consent", apikey.CheckConsents, s.checkConsent}},
		Prefix + "gdpr/discovery":    {http.MethodGet: {"discovery", apikey.Discover, s.discovery}},
		requests: {
			http.MethodGet:  {"requests", apikey.ListRequests, s.listRequests},
			http.MethodPost: {"submit", apikey.SubmitRequests, s.submit},
		},
		requests + "/{id}": {
			http.MethodGet:    {"request", apikey.ReadRequest, s.showRequest},
			http.MethodDelete: {"cancel", apikey.DecideRequests, s.cancel},
		},
		requests + "/{id}/verify":  {http.MethodPost: {"verify", apikey.DecideRequests, s.verify}},
		requests + "/{id}/export":  {http.MethodGet: {"export", apikey.DecideRequests, s.export}},
		requests + "/{id}/receipt": {http.MethodGet: {"receipt", apikey.ListRequests, s.receipt}},
	}
}

func (s *Server) byMethod(methods map[string]endpoint) http.Handler {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if _, ok := methods[method]; ok {
			allowed = append(allowed, method)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e, ok := methods[r.Method]
		if !ok {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			problem.Write(w, http.StatusMethodNotAllowed, "only "+strings.Join(allowed, " and ")+" is answered here")
			return
		}
		began := time.Now()
		status := http.StatusInternalServerError // should serve end by a panic: an answer was broken off
		defer func() { s.metrics.answered(e.name, status, time.Since(began)) }()
		status = s.serve(w, r, &e)
	})
}

// serve answers one request and returns the status.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, e *endpoint) int {
	writer := http.NewResponseController(w)
	if r.ContentLength != 0 {
		// Also for a body that is not read here: the server reads the rest of it, before it goes on.
		if err := writer.SetReadDeadline(time.Now().Add(s.cfg.BodyWithin)); err != nil {
			return s.refuse(w, r, err)
		}
	}
	if !s.open.Load() {
		return s.refuse(w, r, &failure{status: http.StatusServiceUnavailable, detail: "nothing is shown before the vault was compared with the log; try again", retryAfter: 1})
	}
	select {
	case s.inFlight <- struct{}{}:
		defer func() { <-s.inFlight }()
	default:
		return s.refuse(w, r, &failure{status: http.StatusServiceUnavailable, detail: "too many requests at a time, try again", retryAfter: 1})
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.AnswerWithin)
	defer cancel()
	c := &call{server: s, request: r.WithContext(ctx), writer: writer, rawWriter: w}
	a, err := s.ask(c, e)
	if err == nil && !c.noted {
		err = errors.New("an answer was not noted") // a mistake in this package; nothing is shown
	}
	if err != nil {
		return s.refuse(w, r, err)
	}
	return c.send(a)
}

func (s *Server) ask(c *call, e *endpoint) (*answer, error) {
	key, err := s.guard.authenticate(c.context(), c.request)
	if err != nil {
		return nil, err
	}
	c.key, c.role = key, apikey.Role(key.Role)
	if !c.role.May(e.right) {
		return nil, refused(http.StatusForbidden, "this is not for keys of the role "+key.Role)
	}
	return e.answer(c)
}

// refuse answers with a problem. What our own systems say about it is for our log, without what was asked.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) int {
	f := failureOf(err)
	if f.cause != nil && r.Context().Err() == nil {
		s.deps.Log.Warn("a request over HTTP cannot be answered", "status", f.status, "error", f.cause)
	}
	f.write(w)
	return f.status
}
